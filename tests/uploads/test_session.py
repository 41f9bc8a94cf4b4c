"""Whatever order, duplication or loss the events suffer: an upload is shown as completed only when it is whole."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from jobkit.ports.store import LogEntry
from workers.uploads import (
    UploadSession,
    UploadState,
    VideoChunkReceived,
    VideoUploadCompleted,
    VideoUploadStarted,
    session,
)

Event = VideoUploadStarted | VideoChunkReceived | VideoUploadCompleted

STARTED = VideoUploadStarted(video_id="v", source="v.mp4")


def chunk(index: int) -> VideoChunkReceived:
    return VideoChunkReceived(index=index, size=index + 1, sha256=f"{index:064x}")


def whole(chunks: int) -> list[Event]:
    """All events of an upload, in order."""
    size = sum(index + 1 for index in range(chunks))
    return [STARTED, *(chunk(index) for index in range(chunks)), VideoUploadCompleted(chunks=chunks, size=size)]


def added_up(events: list[Event]) -> list[UploadSession]:
    """Return the session after each of the events."""
    reached = session.begin()
    seen = []
    for event in events:
        reached = session.advance(reached, [LogEntry(event.kind, event.model_dump_json().encode())])
        seen.append(reached.state)
    return seen


def test_an_upload_in_order_is_completed_by_its_last_event() -> None:
    states = [one.state for one in added_up(whole(3))]
    assert states == [UploadState.OPEN] * 4 + [UploadState.COMPLETED]


def test_the_order_of_the_incident_shows_what_is_missing_until_it_came() -> None:
    started, first, second, ended = whole(2)
    seen = added_up([started, ended, first, second])
    assert [one.state for one in seen] == [
        UploadState.OPEN,
        UploadState.INCOMPLETE,
        UploadState.INCOMPLETE,
        UploadState.COMPLETED,
    ]
    assert [[(gap.first, gap.last) for gap in one.missing] for one in seen] == [[], [(0, 1)], [(1, 1)], []]


def test_sizes_that_do_not_add_up_never_complete() -> None:
    *events, ended = whole(3)
    assert isinstance(ended, VideoUploadCompleted)
    assert added_up([*events, ended.model_copy(update={"size": ended.size + 1})])[-1].state is UploadState.INCOMPLETE


def test_received_chunks_are_kept_as_few_spans() -> None:
    seen = added_up([chunk(index) for index in (5, 0, 2, 1, 4, 9)])[-1]
    assert [(span.first, span.last) for span in seen.received] == [(0, 2), (4, 5), (9, 9)]
    assert [(gap.first, gap.last) for gap in seen.missing] == [(3, 3), (6, 8)]


@st.composite
def suffered(draw: st.DrawFn) -> tuple[int, list[Event]]:
    """The events of an upload, some lost, some twice, in any order."""
    chunks = draw(st.integers(1, 6))
    events = draw(st.lists(st.sampled_from(whole(chunks)), max_size=16))
    return chunks, events


@settings(max_examples=400)
@given(suffered())
def test_completed_is_shown_if_and_only_if_everything_came(case: tuple[int, list[Event]]) -> None:
    chunks, events = case
    came: list[Event] = []
    for event, shown in zip(events, added_up(events), strict=True):
        came.append(event)
        everything = all(one in came for one in whole(chunks))
        assert (shown.state is UploadState.COMPLETED) == everything
        distinct = {one.index for one in came if isinstance(one, VideoChunkReceived)}
        assert shown.chunks == len(distinct)
        assert shown.size == sum(index + 1 for index in distinct)
        assert {index for index in range(chunks) if shown.has(index)} == distinct


@settings(max_examples=100)
@given(st.permutations(whole(4)), st.integers(0, 6))
def test_the_end_does_not_depend_on_the_order(events: list[Event], repeated: int) -> None:
    assert added_up([*events, *events[:repeated]])[-1] == added_up(whole(4))[-1]
