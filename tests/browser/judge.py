"""Judges what a player showed against what the source shows. Each function returns sentences that say what is wrong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tests.media.sources import Source

# How far sound and picture may be from one another, in seconds.
SYNC_TOLERANCE = 0.02
# How far both may be from where the source has them: players begin with the first packet, which may be sound that comes
# before the first picture, or a picture that waits for those that are decoded before it is shown.
TIME_TOLERANCE = 0.1

_BRIGHT = 128


@dataclass(frozen=True, slots=True)
class Shown:
    """One picture that was shown: its own time, and its brightness from 0 to 255."""

    time: float
    brightness: float

    @property
    def white(self) -> bool:
        """Whether it is one of those that are white."""
        return self.brightness > _BRIGHT


@dataclass(frozen=True, slots=True)
class Played:
    """What a player showed from its beginning to its end. Times are those of media, in seconds.

    A busy browser leaves pictures out, so not all of them are among `pictures`.
    """

    errors: Sequence[str]
    pictures: Sequence[Shown]
    beeps: Sequence[float]
    jumps: Sequence[str]
    buffered: Sequence[tuple[float, float]]
    duration: float
    ended_at: float
    size: tuple[int, int]


def playing_problems(played: Played, source: Source) -> list[str]:
    """Tell what is wrong with a playback from beginning to end."""
    problems = [*played.errors, *(f"left something out: {jump}" for jump in played.jumps)]
    problems += _length_problems(played, source)
    problems += _picture_problems(played.pictures, source)
    problems += _beep_problems(played.beeps, source)
    if (played.size[0] < played.size[1]) != (source.size[0] < source.size[1]):
        problems.append(f"pictures are shown at {played.size[0]}x{played.size[1]}, which is turned")
    return problems


def change_problems(played: Played, source: Source) -> list[str]:
    """Tell what is wrong with a playback in which the rendition was changed: what was buffered is thrown away then."""
    problems = [*played.errors, *_picture_problems(played.pictures, source)]
    if abs(played.ended_at - played.duration) > TIME_TOLERANCE:
        problems.append(f"it ended at {played.ended_at:.3f} s of {played.duration:.3f} s")
    return problems


def sync_problems(beeps: Sequence[float], flashes: Mapping[float, Shown | None], source: Source) -> list[str]:
    """Return whether flashes and beeps that belong together are seen and heard apart.

    `flashes` are the pictures with which the flashes of the source begin, None where one was not found.
    """
    problems = [f"there is no flash about {time:.3f} s" for time, flash in flashes.items() if flash is None]
    for time, flash in flashes.items():
        beep = _nearest(time, beeps) if time in source.beeps else None
        if flash is not None and beep is not None and abs(beep - flash.time) > SYNC_TOLERANCE:
            problems.append(f"the beep of {time:.3f} s comes {1000 * (beep - flash.time):+.1f} ms after its flash")
    return problems


def first_white(pictures: Sequence[Shown], time: float, source: Source) -> Shown | None:
    """Return the first white picture about a time, None where that was not shown, or not the one before it."""
    white = [each for each in pictures if each.white and abs(each.time - time) <= TIME_TOLERANCE]
    first = min(white, key=lambda each: each.time, default=None)
    if first is None:
        return None
    before = max((each.time for each in pictures if not each.white and each.time < first.time), default=0.0)
    slack = source.frame / 2
    left_out = any(before + slack < each < first.time - slack for each in source.pictures)
    return None if left_out else first


def seeking_problems(shown: Shown, wanted: float, source: Source) -> list[str]:
    """Return whether a picture is the one that a source shows about a time, or a repetition of it until then."""
    first = max((time for time in source.pictures if time <= wanted - TIME_TOLERANCE), default=0.0)
    problems = []
    if not first - TIME_TOLERANCE <= shown.time <= wanted + TIME_TOLERANCE:
        problems.append(f"at {wanted:.3f} s the picture of {shown.time:.3f} s is shown, not that of {first:.3f} s")
    if shown.white != source.is_white(wanted):
        problems.append(f"at {wanted:.3f} s the picture has the wrong brightness of {shown.brightness:.0f}")
    return problems


def _picture_problems(pictures: Sequence[Shown], source: Source) -> Iterator[str]:
    """Tell which pictures look other than those of the source around their time."""
    if not pictures:
        yield "no picture was shown"
    for shown in pictures:
        around = [shown.time + late * source.frame for late in (-1, 0, 1)]
        if all(source.is_white(time) != shown.white for time in around):
            yield f"the picture of {shown.time:.3f} s has the wrong brightness of {shown.brightness:.0f}"


def _length_problems(played: Played, source: Source) -> Iterator[str]:
    if abs(played.duration - source.seconds) > TIME_TOLERANCE + source.frame:
        yield f"it lasts {played.duration:.3f} s, not {source.seconds:.3f} s"
    if abs(played.ended_at - played.duration) > TIME_TOLERANCE:
        yield f"it ended at {played.ended_at:.3f} s of {played.duration:.3f} s"
    whole = len(played.buffered) == 1 and played.buffered[0][0] <= TIME_TOLERANCE
    if not whole or played.buffered[-1][1] < played.duration - TIME_TOLERANCE:
        parts = ", ".join(f"{start:.3f} to {end:.3f} s" for start, end in played.buffered)
        yield f"it has holes: of {played.duration:.3f} s it holds {parts}"


def _beep_problems(beeps: Sequence[float], source: Source) -> Iterator[str]:
    if len(beeps) != len(source.beeps):
        yield f"{len(beeps)} beeps, not {len(source.beeps)}: {_times(beeps)}, not {_times(source.beeps)}"
    for time in source.beeps:
        nearest = _nearest(time, beeps)
        if nearest is None or abs(nearest - time) > TIME_TOLERANCE:
            yield f"no beep at {time:.3f} s, but at {_times(beeps)}"


def _nearest(time: float, found: Sequence[float]) -> float | None:
    return min(found, key=lambda each: abs(each - time), default=None)


def _times(found: Sequence[float]) -> str:
    return "/".join(f"{time:.3f}" for time in found) or "none"
