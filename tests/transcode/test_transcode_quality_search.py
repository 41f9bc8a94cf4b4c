"""The quality that reaches a score is found in few tries, whatever the curve; which samples it is tried on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from workers.transcode.job_tools import Bench
from workers.transcode.media import Media
from workers.transcode.plan import TranscodePlan
from workers.transcode.quality_search import MOST_TRIES, Aim, Span, chosen_level, next_level, sample_spans
from workers.transcode.settings import TranscodeSettings
from workers.transcode.source import OpenSource
from workers.transcode.target_quality import _Search, reach_quality

AIM = Aim(93.0, best=14, worst=38)
Curve = Callable[[int], float]


def searched(aim: Aim, first: int, curve: Curve) -> tuple[int, dict[int, float]]:
    tried: dict[int, float] = {}
    while len(tried) < MOST_TRIES and (level := next_level(aim, first, tried)) is not None:
        assert level not in tried
        assert aim.best <= level <= aim.worst
        tried[level] = curve(level)
    return chosen_level(aim, tried), tried


def straight(at_23: float, step: float) -> Curve:
    return lambda level: min(100.0, at_23 - step * (level - 23))


def bent(level: int) -> float:
    """Return scores that fall slowly first and faster later, as those of real videos do."""
    return 100 - 0.055 * max(0, level - 12) ** 1.75


def steep(level: int) -> float:
    """Return scores that a ceiling of bits holds down until they fall all at once, with an outlier."""
    return {23: 95.0, 25: 95.5}.get(level, min(95.2, 96 - 0.2 * max(0, level - 22) ** 1.9))


@pytest.mark.parametrize(
    "curve",
    [straight(97, 0.8), straight(90, 1.6), straight(95.1, 1.1), straight(85, 2.5), straight(99, 0.5), bent, steep],
)
def test_the_highest_quality_number_that_reaches_the_score_is_found(curve: Curve) -> None:
    found, tried = searched(AIM, 23, curve)
    assert curve(found) >= AIM.score
    # One more would not reach it, or this is so near that nothing was to be gained.
    assert curve(found + 1) < AIM.score or curve(found) <= AIM.score + 0.3
    assert len(tried) <= MOST_TRIES


@pytest.mark.parametrize(("curve", "level"), [(straight(120, 0.1), 38), (straight(60, 1.0), 14)])
def test_the_search_ends_at_its_bounds(curve: Curve, level: int) -> None:
    assert searched(AIM, 23, curve)[0] == level


def test_where_a_ceiling_of_bits_decides_no_better_quality_is_tried_for_long() -> None:
    found, tried = searched(AIM, 23, lambda level: min(88.0, 111 - level))
    assert len(tried) <= 3
    assert found == 23


def test_where_the_search_begins_lies_within_the_bounds() -> None:
    assert next_level(AIM, 51, {}) == 38
    assert next_level(AIM, 0, {}) == 14


def test_scores_that_do_not_fall_evenly_end_the_search() -> None:
    scores = {23: 92.0, 21: 94.0, 22: 95.0, 20: 96.0, 24: 91.0}
    found, tried = searched(AIM, 23, lambda level: scores.get(level, 90.0))
    assert tried[found] >= AIM.score


@pytest.mark.parametrize("seconds", [0.04, 10.0, 24.0])
def test_a_short_video_is_its_own_sample(seconds: float) -> None:
    assert sample_spans(seconds, 4.0) == (Span(0.0, None),)


@pytest.mark.parametrize(("seconds", "count"), [(25.0, 4), (600.0, 5), (7200.0, 10), (86_400.0, 10)])
def test_samples_are_few_begin_with_segments_and_lie_all_over_the_video(seconds: float, count: int) -> None:
    spans = sample_spans(seconds, 4.0)
    assert len(spans) == count
    assert all(span.start % 4.0 == 0 and span.end == span.start + 4.0 and span.end <= seconds for span in spans)
    assert spans[0].start < seconds / count
    assert spans[-1].start >= seconds * (1 - 1 / count) - 4.0


@pytest.mark.parametrize(("container", "latest"), [("mpegts", 60.0), ("mov,mp4", 7200.0)])
def test_samples_of_what_cannot_be_sought_are_from_its_first_minute(container: str, latest: float) -> None:
    media = SimpleNamespace(video=SimpleNamespace(restarts=False), audio=None, container=container)
    bench = SimpleNamespace(settings=TranscodeSettings(), directory=Path("nowhere"))
    plan = SimpleNamespace(duration=7200.0)
    search = _Search(cast(Bench, bench), cast(TranscodePlan, plan), cast(Media, media), cast(OpenSource, None))
    ends = [span.end for span in search._spans]
    assert all(end is not None and end <= latest for end in ends)
    assert max(end or 0.0 for end in ends) > 0.7 * latest


def test_samples_of_long_segments_are_not_taken_twice() -> None:
    assert sample_spans(30.0, 30.0) == (Span(0.0, 4.0),)


@dataclass(frozen=True)
class Planned:
    rungs: tuple[SimpleNamespace, ...]


@pytest.mark.parametrize(("stays", "names"), [(False, 1), (True, 2)])
async def test_what_was_found_is_known_by_the_time_of_a_file_only_where_that_is_not_the_attempts_own(
    stays: bool, names: int
) -> None:
    asked: set[str] = set()

    async def step(name: str, run: Callable[[], object]) -> list[object]:
        asked.add(name)
        return []

    bench = cast(Bench, SimpleNamespace(ctx=SimpleNamespace(step=step)))
    plan = cast(TranscodePlan, Planned((SimpleNamespace(aim=Aim(93.0, 20, 40), name="360p"),)))
    for modified in (1, 2):
        await reach_quality(bench, plan, cast(Media, None), OpenSource("s", 0, 5, modified, stays), "web@1")
    assert len(asked) == names
