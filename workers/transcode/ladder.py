"""Which renditions a source gets. Pure arithmetic; it never makes a picture larger than its source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from workers.transcode.encoders import PLAIN_CODING, Coding
from workers.transcode.quality_search import Aim

DEFAULT_LADDER = (1080, 720, 480, 360, 240)

# Rungs beyond these are typing errors; H.264 encoders take no side longer than LONGEST_SIDE.
LOWEST_RUNG, HIGHEST_RUNG, MOST_RUNGS = 16, 4320, 12
LONGEST_SIDE = 16_384

# Full HD at 30 frames a second; other sizes need fewer bits by the power 3/4 of their area, as small pictures
# hold more detail in each pixel.
_REFERENCE_BITS_PER_SECOND = 5_000_000
_REFERENCE_PIXELS = 1920 * 1080

_NEXT_RUNG_SHARE = 0.9
# From here on, a picture differs less from the one before it.
_FAST_RATE = 40


@dataclass(frozen=True, slots=True)
class Size:
    """A picture's width and height in pixels."""

    width: int
    height: int

    @property
    def short(self) -> int:
        """The shorter side."""
        return min(self.width, self.height)

    @property
    def long(self) -> int:
        """The longer side."""
        return max(self.width, self.height)


@dataclass(frozen=True, slots=True)
class Rung:
    """One rendition to make; both sides of `size` are even. Its bits per second stay under `max_bitrate`.

    With an `aim` its quality is looked for; `vmaf` is the score that samples had with the one that was found.
    """

    name: str
    size: Size
    max_bitrate: int
    coding: Coding = PLAIN_CODING
    aim: Aim | None = None
    vmaf: float | None = None


def checked_ladder(rungs: Sequence[int]) -> tuple[int, ...]:
    """Return the rungs without doubles, highest first. Raises `ValueError` where they are no ladder."""
    if not rungs:
        raise ValueError("a ladder needs at least one rung")
    for rung in rungs:
        if rung % 2 or not LOWEST_RUNG <= rung <= HIGHEST_RUNG:
            raise ValueError(f"{rung} is no rung: use even numbers from {LOWEST_RUNG} to {HIGHEST_RUNG}")
    unique = tuple(sorted(set(rungs), reverse=True))
    if len(unique) > MOST_RUNGS:
        raise ValueError(f"a ladder has at most {MOST_RUNGS} rungs")
    return unique


def shown_size(width: int, height: int, pixel_aspect: Fraction, rotation: int) -> Size:
    """Return the size at which stored pixels are shown: square, and upright after `rotation` (degrees)."""
    upright = Size(max(1, round(width * pixel_aspect)), height)
    return Size(upright.height, upright.width) if rotation % 180 == 90 else upright


def choose_rungs(source: Size, ladder: Sequence[int], frame_rate: float, *, keep_size: bool = True) -> tuple[Rung, ...]:
    """Return the renditions of a source shown at `source`: rungs by its shorter side, or one at its own size.

    With `keep_size` a source that lies between two rungs keeps its size in the largest rendition.
    """
    own = Size(_even(source.width), _even(source.height))
    fitting = [rung for rung in ladder if rung <= source.short]
    between = own.short not in fitting and any(rung > source.short for rung in ladder)
    if keep_size and between:
        # Two renditions of nearly one size would cost without being of use.
        sizes = [own, *(_scaled(source, rung) for rung in fitting if rung <= _NEXT_RUNG_SHARE * own.short)]
    else:
        sizes = [_scaled(source, rung) for rung in fitting] or [own]
    return tuple(Rung(f"{size.short}p", size, max_bitrate(size, frame_rate)) for size in sizes)


def is_fast(frame_rate: float) -> bool:
    """Return whether so many pictures a second need more bits."""
    return frame_rate > _FAST_RATE


def max_bitrate(size: Size, frame_rate: float) -> int:
    """Return the ceiling for a picture of this size, in bits per second."""
    # A fast picture changes less from frame to frame: twice the frames do not need twice the bits.
    pace = 1.5 if is_fast(frame_rate) else 1.0
    bits: float = _REFERENCE_BITS_PER_SECOND * pace * (size.width * size.height / _REFERENCE_PIXELS) ** 0.75
    return max(100_000, round(bits / 10_000) * 10_000)


def _scaled(source: Size, rung: int) -> Size:
    # Rounding to the nearest even number could add a pixel to a source that is not scaled at all.
    long = min(2 * round(source.long * rung / source.short / 2), _even(source.long))
    return Size(long, rung) if source.width >= source.height else Size(rung, long)


def _even(pixels: int) -> int:
    """Round down to what 4:2:0 video can have; a single pixel has no smaller even size."""
    return max(2, pixels - pixels % 2)
