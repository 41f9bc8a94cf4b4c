"""Where a finished rendition is cut into segments, and at which raw times its samples are then written.

Pure arithmetic, in ticks of the track's timescale, on times as a player shows them: edit lists are already applied.
Every segment of pictures begins with a keyframe, at the very time that it is shown, and neither decoding times nor
what is shown leaves a hole, so that a player which knows nothing of edit lists plays in sync.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby, pairwise
from typing import NamedTuple

# The share of a segment by which a picture may lie before it and still be its first: a rounding error.
CELL_SLACK = 1e-6
# A repeated picture that would be shown for less than this share of a segment is not worth a segment.
_SHORTEST_SHARE = 8


class Unit(NamedTuple):
    """One coded picture or packet of sound: when it is shown, how long it lasts, and where its bytes lie."""

    time: int
    duration: int
    size: int
    keyframe: bool
    position: int


class Placed(NamedTuple):
    """A unit as it is written: its decoding time, when it is shown, how long until the next one is decoded."""

    unit: Unit
    decode_time: int
    time: int
    duration: int
    repeat: bool


@dataclass(frozen=True, slots=True)
class Cut:
    """One segment: from when to when it is shown, and its units in decoding order."""

    start: int
    end: int
    placed: tuple[Placed, ...]


class _Shown(NamedTuple):
    unit: Unit
    time: int
    repeat: bool


def cut_pictures(units: Sequence[Unit], start: int, end: int, length: int) -> list[Cut]:
    """Return the segments of a video that is shown from `start` to `end`, each about `length` long.

    A picture that is held for longer than that is repeated where a segment should begin, if it is a keyframe that
    nothing else refers to; the same goes for a first picture that is late. Raises `ValueError` where the first unit
    is no keyframe.
    """
    if not units or not units[0].keyframe:
        raise ValueError("the video does not begin with a keyframe")
    starts: list[int] = []
    groups: list[list[_Shown]] = []
    boundary = start
    for group, until in _groups(units, end):
        head = group[0]
        if not groups or head.time >= boundary:
            first = [] if groups or head.time <= start else [_Shown(head, start, repeat=True)]
            groups.append(first)
            starts.append(start if not starts else head.time)
            boundary = _next_boundary(max(head.time, start), start, length)
        groups[-1] += [_Shown(unit, unit.time, repeat=False) for unit in group]
        while len(group) == 1 and boundary + length // _SHORTEST_SHARE < until:
            groups.append([_Shown(head, boundary, repeat=True)])
            starts.append(boundary)
            boundary += length
    bounds = [*starts, end]
    return [Cut(*bound, _placed(group, *bound)) for group, bound in zip(groups, pairwise(bounds), strict=True)]


def cut_sound(units: Sequence[Unit], starts: Sequence[int]) -> list[Cut]:
    """Return the segments of a sound, cut where a packet begins next to each of `starts`, the first left out."""
    groups: list[list[Unit]] = [[]]
    ahead = iter([*starts[1:], None])
    boundary = next(ahead)
    for unit in units:
        while boundary is not None and unit.time + unit.duration // 2 >= boundary:
            boundary = next(ahead)
            if groups[-1]:
                groups.append([])
        groups[-1].append(unit)
    groups = [group for group in groups if group]
    last = units[-1]
    bounds = list(pairwise([*(group[0].time for group in groups), last.time + last.duration]))
    # What is a little late belongs to the first segment all the same.
    begins = [starts[0], *(start for start, _ in bounds[1:])]
    return [
        Cut(begin, end, _placed([_Shown(unit, unit.time, repeat=False) for unit in group], start, end))
        for group, begin, (start, end) in zip(groups, begins, bounds, strict=True)
    ]


def _groups(units: Sequence[Unit], end: int) -> Iterator[tuple[list[Unit], int]]:
    """Yield each keyframe with all that refers to it, and when the next keyframe is shown."""
    heads = [number for number, unit in enumerate(units) if unit.keyframe]
    for head, following in pairwise([*heads, len(units)]):
        yield list(units[head:following]), units[following].time if following < len(units) else end


def _next_boundary(time: int, start: int, length: int) -> int:
    return start + ((time - start) // length + 1) * length


def _placed(shown: Iterable[_Shown], start: int, end: int) -> tuple[Placed, ...]:
    """Return units with decoding times: as late as what is still to be shown allows, and never later.

    How far an encoder decodes ahead is of no use to a player, and grows without bound where pictures are rare. Nor may
    a picture be decoded after it is shown: some readers then move all of them.
    """
    listed = list(shown)
    decode_times = _decode_times([each.time for each in listed])
    if decode_times[0] != start:
        raise ValueError(f"a segment that begins at {start} holds a picture that is shown at {decode_times[0]}")
    durations = [later - earlier for earlier, later in pairwise([*decode_times, end])]
    return tuple(
        Placed(each.unit, decode_time, each.time, duration, each.repeat)
        for each, decode_time, duration in zip(listed, decode_times, durations, strict=True)
    )


def _decode_times(times: Sequence[int]) -> list[int]:
    """Return rising decoding times for units that are shown at `times`; what waits for a unit shares the time to it."""
    latest = list(accumulate(reversed(times), min))[::-1]
    placed: list[int] = []
    for limit, run in groupby(latest):
        count = len(list(run))
        before = placed[-1] if placed else limit - count
        placed += [before + (limit - before) * (number + 1) // count for number in range(count)]
    return placed
