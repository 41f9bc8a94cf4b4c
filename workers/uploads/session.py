"""An upload session, as its events add up to it.

It is shown as completed only if it was started, every chunk that the client announced is there, and their sizes add up
to what it announced: whatever order the events come in, however often, and whichever of them are lost.
"""

from __future__ import annotations

from enum import StrEnum

from jobkit import Projection, Result
from workers.uploads.events import VideoChunkReceived, VideoUploadCompleted, VideoUploadStarted


class UploadState(StrEnum):
    """How far a session is. `INCOMPLETE`: the client says that it is done, but something is missing or does not fit."""

    UNKNOWN = "unknown"
    OPEN = "open"
    INCOMPLETE = "incomplete"
    COMPLETED = "completed"


class Span(Result):
    """Chunks `first` to `last`, both included."""

    first: int
    last: int


class UploadSession(Result):
    """What is known of one upload.

    `received` are the chunks that are there, as few spans in order, and `size` is their bytes. `announced_chunks` and
    `announced_size` are what the client said at its end.
    """

    state: UploadState = UploadState.UNKNOWN
    video_id: str | None = None
    source: str | None = None
    received: tuple[Span, ...] = ()
    chunks: int = 0
    size: int = 0
    announced_chunks: int | None = None
    announced_size: int | None = None

    @property
    def missing(self) -> tuple[Span, ...]:
        """The chunks that must still come: below the highest received, or up to what was announced."""
        end = self.announced_chunks if self.announced_chunks is not None else self._end
        gaps, expected = [], 0
        for span in self.received:
            if span.first > expected:
                gaps.append(Span(first=expected, last=min(span.first, end) - 1))
            expected = span.last + 1
        if expected < end:
            gaps.append(Span(first=expected, last=end - 1))
        return tuple(gaps)

    @property
    def _end(self) -> int:
        return self.received[-1].last + 1 if self.received else 0

    def has(self, index: int) -> bool:
        """Return whether a chunk is there."""
        return any(span.first <= index <= span.last for span in self.received)


session = Projection("session", UploadSession)


@session.on("VideoUploadStarted")
def started(now: UploadSession, event: VideoUploadStarted) -> UploadSession:
    """Note what is being uploaded; who says it first is right."""
    if now.video_id is not None:
        return now
    return _judged(now.model_copy(update={"video_id": event.video_id, "source": event.source}))


@session.on("VideoChunkReceived")
def received(now: UploadSession, event: VideoChunkReceived) -> UploadSession:
    """Add a chunk, once."""
    if now.has(event.index):
        return now
    changes = {
        "received": _with(now.received, event.index),
        "chunks": now.chunks + 1,
        "size": now.size + event.size,
    }
    return _judged(now.model_copy(update=changes))


@session.on("VideoUploadCompleted")
def completed(now: UploadSession, event: VideoUploadCompleted) -> UploadSession:
    """Note what the client has sent, as it says; the chunks tell whether it is so."""
    if now.announced_chunks is not None:
        return now
    return _judged(now.model_copy(update={"announced_chunks": event.chunks, "announced_size": event.size}))


def _judged(now: UploadSession) -> UploadSession:
    """Return the session with the state that everything else in it amounts to."""
    whole = now.chunks == now.announced_chunks and now.size == now.announced_size and not now.missing
    if now.announced_chunks is not None:
        state = UploadState.COMPLETED if whole and now.video_id is not None else UploadState.INCOMPLETE
    else:
        state = UploadState.UNKNOWN if now.video_id is None else UploadState.OPEN
    return now.model_copy(update={"state": state})


def _with(spans: tuple[Span, ...], index: int) -> tuple[Span, ...]:
    """Return the spans with one chunk more, as few as possible."""
    before = [span for span in spans if span.last < index]
    after = [span for span in spans if span.first > index]
    first = last = index
    if before and before[-1].last == index - 1:
        first = before.pop().first
    if after and after[0].first == index + 1:
        last = after.pop(0).last
    return (*before, Span(first=first, last=last), *after)
