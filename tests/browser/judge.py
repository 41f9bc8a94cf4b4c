"""Judges what a player showed against what the source shows. Each function returns sentences that say what is wrong."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.media.sources import Source

# How far sound and picture may be from one another, in seconds.
SYNC_TOLERANCE = 0.02
# How far both may be from where the source has them: players begin with the first packet, which may be sound that comes
# before the first picture, or a picture that waits for those that are decoded before it is shown.
TIME_TOLERANCE = 0.1


@dataclass(frozen=True, slots=True)
class Played:
    """What a player showed from its beginning to its end. Times are those of media, in seconds."""

    errors: Sequence[str]
    flashes: Sequence[float]
    beeps: Sequence[float]
    jumps: Sequence[str]
    buffered: Sequence[tuple[float, float]]
    duration: float
    ended_at: float
    size: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Shown:
    """The picture that a player shows after it was told to seek: its own time, and its brightness from 0 to 255."""

    picture: float
    brightness: float


def playing_problems(played: Played, source: Source) -> list[str]:
    """Tell what is wrong with a playback from beginning to end."""
    problems = [*played.errors, *(f"left something out: {jump}" for jump in played.jumps)]
    problems += _length_problems(played, source)
    problems += _onset_problems("flash", played.flashes, source.flashes)
    problems += _onset_problems("beep", played.beeps, source.beeps)
    problems += sync_problems(played, source)
    if (played.size[0] < played.size[1]) != (source.size[0] < source.size[1]):
        problems.append(f"pictures are shown at {played.size[0]}x{played.size[1]}, which is turned")
    return problems


def sync_problems(played: Played, source: Source) -> list[str]:
    """Tell whether flashes and beeps that belong together are seen and heard apart."""
    apart = []
    for time in source.flashes:
        if time in source.beeps:
            flash, beep = _nearest(time, played.flashes), _nearest(time, played.beeps)
            if flash is not None and beep is not None:
                apart.append(beep - flash)
    # A busy browser may leave out the picture with which a flash begins; it does not do so most times.
    typical = statistics.median(apart) if apart else 0.0
    if abs(typical) <= SYNC_TOLERANCE:
        return []
    return [f"beeps come {1000 * typical:+.1f} ms after their flashes"]


def seeking_problems(shown: Shown, wanted: float, source: Source) -> list[str]:
    """Tell whether a picture is the one that a source shows at a time, or one of the same brightness until then."""
    earlier = [time for time in source.pictures if time <= wanted]
    first = max(earlier, default=0.0)
    problems = []
    if not first - TIME_TOLERANCE <= shown.picture <= wanted + TIME_TOLERANCE:
        problems.append(f"at {wanted:.3f} s the picture of {shown.picture:.3f} s is shown, not that of {first:.3f} s")
    if (shown.brightness > 128) != any(start <= wanted < end for start, end in source.white):
        problems.append(f"at {wanted:.3f} s the picture has the wrong brightness of {shown.brightness:.0f}")
    return problems


def _length_problems(played: Played, source: Source) -> Iterator[str]:
    if abs(played.duration - source.seconds) > TIME_TOLERANCE + source.frame:
        yield f"it lasts {played.duration:.3f} s, not {source.seconds:.3f} s"
    if abs(played.ended_at - played.duration) > TIME_TOLERANCE:
        yield f"it ended at {played.ended_at:.3f} s of {played.duration:.3f} s"
    whole = len(played.buffered) == 1 and played.buffered[0][0] <= TIME_TOLERANCE
    if not whole or played.buffered[-1][1] < played.duration - TIME_TOLERANCE:
        parts = ", ".join(f"{start:.3f} to {end:.3f} s" for start, end in played.buffered)
        yield f"it has holes: of {played.duration:.3f} s it holds {parts}"


def _onset_problems(what: str, found: Sequence[float], wanted: Sequence[float]) -> Iterator[str]:
    if len(found) != len(wanted):
        yield f"{len(found)} of {what}, not {len(wanted)}: {_times(found)}, not {_times(wanted)}"
    for time in wanted:
        nearest = _nearest(time, found)
        if nearest is None or abs(nearest - time) > TIME_TOLERANCE:
            yield f"no {what} at {time:.3f} s, but at {_times(found)}"


def _nearest(time: float, found: Sequence[float]) -> float | None:
    return min(found, key=lambda each: abs(each - time), default=None)


def _times(found: Sequence[float]) -> str:
    return "/".join(f"{time:.3f}" for time in found) or "none"
