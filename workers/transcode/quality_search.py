"""How the quality that reaches a VMAF score is found: which samples it is tried on, and what to try next. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

MOST_TRIES = 5
# Samples are so long, one for each two minutes of the video, within bounds; what is hardly longer is taken whole.
_SAMPLE_SECONDS, _SECONDS_OF_SAMPLE = 4.0, 120.0
_FEWEST_SAMPLES, _MOST_SAMPLES = 4, 10
_WHOLE_SHARE = 1.5
# What is so little above the score is near enough. By how much one level of quality changes the score is a guess, until
# two tries tell; where they differ by less than this, it is the ceiling of bits that decides.
_NEAR = 0.3
_USUAL_STEP = 1.0
_SMALLEST_STEP = 0.1


@dataclass(frozen=True, slots=True)
class Aim:
    """A VMAF score to reach, by a level from `best` to `worst` on the encoder's own scale; lower is better."""

    score: float
    best: int
    worst: int


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of a video, in seconds; without an end it is up to the video's."""

    start: float
    end: float | None


def sample_spans(duration: float, segment_seconds: float) -> tuple[Span, ...]:
    """Return the samples of a video, spread evenly over it; each begins where a segment does, as it has a keyframe."""
    count = max(_FEWEST_SAMPLES, min(_MOST_SAMPLES, round(duration / _SECONDS_OF_SAMPLE)))
    if duration <= _WHOLE_SHARE * count * _SAMPLE_SECONDS:
        return (Span(0.0, None),)
    middles = [(number + 0.5) / count * duration for number in range(count)]
    starts = [max(0.0, (middle - _SAMPLE_SECONDS / 2) // segment_seconds * segment_seconds) for middle in middles]
    return tuple(Span(start, start + _SAMPLE_SECONDS) for start in dict.fromkeys(starts))


def next_level(aim: Aim, first: int, tried: Mapping[int, float]) -> int | None:
    """Return the level to try next, where `tried` has the scores of others; None where the best one is known.

    It is `first` to begin with. What is looked for is the highest level that reaches the score.
    """
    if not tried:
        return _within(first, aim.best, aim.worst)
    enough = [level for level, score in tried.items() if score >= aim.score]
    short = [level for level, score in tried.items() if score < aim.score]
    if enough and tried[max(enough)] <= aim.score + _NEAR:
        return None
    lowest = max(enough) + 1 if enough else aim.best
    highest = min(short) - 1 if short else aim.worst
    if lowest > highest or _capped(enough, tried):
        return None
    return _within(_guess(aim, tried, enough, short), lowest, highest)


def chosen_level(aim: Aim, tried: Mapping[int, float]) -> int:
    """Return the highest level that reaches the score, or else the one that comes next to it."""
    enough = [level for level, score in tried.items() if score >= aim.score]
    return max(enough) if enough else max(tried, key=lambda level: (round(tried[level], 1), level))


def _guess(aim: Aim, tried: Mapping[int, float], enough: list[int], short: list[int]) -> int:
    """Return the level at which a straight line through two scores reaches the wanted one.

    Between two levels that are far apart it is drawn towards their middle: scores fall ever faster.
    """
    if enough and short:
        better, worse = max(enough), min(short)
        line = better + (worse - better) * (tried[better] - aim.score) / (tried[better] - tried[worse])
        return math.floor((line + (better + worse) / 2) / 2)
    nearest, *others = sorted(tried, reverse=bool(enough))
    steps = [(tried[nearest] - tried[other]) / (other - nearest) for other in others[:1]]
    step = next((step for step in steps if step >= _SMALLEST_STEP), _USUAL_STEP)
    return math.floor(nearest + (tried[nearest] - aim.score) / step)


def _capped(enough: list[int], tried: Mapping[int, float]) -> bool:
    """Return whether none reaches the score, and a better level no longer has a better one."""
    levels = sorted(tried)
    return not enough and len(levels) > 1 and tried[levels[0]] - tried[levels[1]] < _SMALLEST_STEP


def _within(level: int, lowest: int, highest: int) -> int:
    return min(max(level, lowest), highest)
