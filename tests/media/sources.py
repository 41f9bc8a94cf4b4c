"""Sources of the kinds that people upload, made on the spot: a white flash and a beep, together, at known times."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from tests.media.ffmpegs import Ffmpeg

WIDTH, HEIGHT = 320, 180
# How long a flash and a beep are. A player may show the end of a flash late, never its beginning.
_FLASH_SECONDS = 0.08
# The first of each second comes well after players have begun. It is the time of a picture at 25, 30 and 60 a second.
_PHASE = 0.6
_EACH_SECOND = f"between(mod(t+0.0001\\,1)\\,{_PHASE}\\,{_PHASE + _FLASH_SECONDS})"
_SLIDE_SECONDS, _SLIDES_SECONDS = 7, 24
_HELD_SECONDS = 1.0

_H264 = ("-c:v", "libx264", "-preset", "veryfast", "-bf", "2", "-crf", "20", "-pix_fmt", "yuv420p")
# Recorders of screens write pictures in order; out of order, a picture lasts as long as the one decoded after it.
_AS_RECORDED = ("-bf", "0")
_AAC = ("-c:a", "aac", "-b:a", "128k")


@dataclass(frozen=True, slots=True)
class Source:
    """One source, and what is to be seen and heard of it. Times are in seconds from its beginning.

    `white` is from when to when the picture is white, `beeps` where each begins; `pictures` is when each picture is
    shown, `frame` how long one lasts at the most common rate.
    """

    name: str
    seconds: float
    white: tuple[tuple[float, float], ...]
    beeps: tuple[float, ...]
    pictures: tuple[float, ...]
    make: Callable[[Ffmpeg, Path], None] = field(repr=False)
    frame: float = 0.04
    size: tuple[int, int] = (WIDTH, HEIGHT)
    suffix: str = ".mp4"

    @property
    def flashes(self) -> tuple[float, ...]:
        """When the picture becomes white."""
        return tuple(first for first, _ in self.white)

    @property
    def holds(self) -> bool:
        """Whether some pictures stay for long."""
        shown = [*self.pictures, self.seconds]
        return any(later - earlier > _HELD_SECONDS for earlier, later in pairwise(shown))

    def is_white(self, time: float) -> bool:
        """Return whether the picture is white at a time."""
        return any(first <= time < last for first, last in self.white)


def seconds_between(first: float, last: float) -> tuple[float, ...]:
    """Return when the flash of each second begins, from one time to another."""
    every = (number + _PHASE for number in range(int(last) + 1))
    return tuple(time for time in every if first <= time and time + _FLASH_SECONDS <= last)


def flashing(times: tuple[float, ...]) -> tuple[tuple[float, float], ...]:
    """Return from when to when flashes that begin at these times last."""
    return tuple((time, time + _FLASH_SECONDS) for time in times)


def frames(rate: float, first: float, last: float) -> tuple[float, ...]:
    """Return when each picture of a constant rate is shown, from one time to another."""
    return tuple(number / rate for number in range(round(first * rate), round(last * rate)))


def picture(seconds: float, rate: float, white: str = _EACH_SECOND) -> tuple[str, ...]:
    """Return an input of black pictures that are white while an expression of `t` is true."""
    plain = f"color=black:size={WIDTH}x{HEIGHT}:rate={rate:g}:duration={seconds:g}"
    return ("-f", "lavfi", "-i", f"{plain},drawbox=color=white:t=fill:enable='{white}',format=yuv420p")


def sound(seconds: float, loud: str = _EACH_SECOND) -> tuple[str, ...]:
    """Return an input of silence with a tone of 1 kHz while an expression of `t` is true."""
    tone = f"if({loud}\\,0.5*sin(2*PI*1000*t)\\,0)"
    return ("-f", "lavfi", "-i", f"aevalsrc='{tone}|{tone}':channel_layout=stereo:s=48000:d={seconds:g}")


def of_arguments(*arguments: str) -> Callable[[Ffmpeg, Path], None]:
    """Return what makes a source by one run of ffmpeg."""

    def make(ffmpeg: Ffmpeg, path: Path) -> None:
        ffmpeg.run(*arguments, str(path))

    return make


def _constant(name: str, seconds: float, rate: float) -> Source:
    times = seconds_between(0, seconds)
    make = of_arguments(*picture(seconds, rate), *sound(seconds), *_H264, *_AAC)
    return Source(name, seconds, flashing(times), times, frames(rate, 0, seconds), make, frame=1 / rate)


def _slides() -> Source:
    white = f"gte(mod(t+0.0001\\,{2 * _SLIDE_SECONDS})\\,{_SLIDE_SECONDS})"
    loud = f"{white}*lt(mod(t\\,{_SLIDE_SECONDS})\\,{_FLASH_SECONDS})"
    shown = (*range(0, _SLIDES_SECONDS, _SLIDE_SECONDS), _SLIDES_SECONDS - 0.04)
    kept = f"select=not(mod(n\\,{25 * _SLIDE_SECONDS}))+eq(n\\,{25 * _SLIDES_SECONDS - 1})"
    inputs = (*picture(_SLIDES_SECONDS, 25, white), *sound(_SLIDES_SECONDS, loud))
    make = of_arguments(*inputs, "-vf", kept, "-fps_mode", "vfr", *_H264, *_AS_RECORDED, *_AAC)
    return Source("slides", _SLIDES_SECONDS, ((7.0, 14.0), (21.0, 24.0)), (7.0, 21.0), shown, make)


def _screen_recording() -> Source:
    moving = ((0, 3), (12, 14), (20, 22))
    kept = "select=" + "+".join(f"gte(t\\,{first})*lt(t\\,{last})" for first, last in moving)
    make = of_arguments(*picture(22, 25), *sound(22), "-vf", kept, "-fps_mode", "vfr", *_H264, *_AS_RECORDED, *_AAC)
    flashes = tuple(time for first, last in moving for time in seconds_between(first, last))
    pictures = tuple(time for first, last in moving for time in frames(25, first, last))
    return Source("screen", 22, flashing(flashes), seconds_between(0, 22), pictures, make, suffix=".mkv")


def _late_sound() -> Source:
    inputs = (*picture(8, 25), "-itsoffset", "3", *sound(5))
    make = of_arguments(*inputs, *_H264, *_AAC)
    white = flashing(seconds_between(0, 8))
    return Source("late-sound", 8, white, seconds_between(3, 8), frames(25, 0, 8), make)


def _late_picture() -> Source:
    inputs = ("-itsoffset", "3", *picture(5, 25), *sound(8))
    make = of_arguments(*inputs, *_H264, *_AAC)
    white, shown = flashing(seconds_between(3, 8)), frames(25, 3, 8)
    return Source("late-picture", 8, white, seconds_between(0, 8), shown, make, suffix=".mkv")


def _still() -> Source:
    inputs = ("-f", "lavfi", "-i", f"color=0x404040:size={WIDTH}x{HEIGHT}:rate=25:duration=0.04", *sound(8))
    make = of_arguments(*inputs, *_H264, "-c:a", "libmp3lame")
    return Source("still", 8, (), seconds_between(0, 8), (0.0,), make, suffix=".mkv")


def _phone() -> Source:
    def make(ffmpeg: Ffmpeg, path: Path) -> None:
        ffmpeg.run(*picture(5, 30), *sound(5), *_H264, *_AAC, str(path))
        turn_quarter(path)

    times = seconds_between(0, 5)
    return Source("phone", 5, flashing(times), times, frames(30, 0, 5), make, frame=1 / 30, size=(HEIGHT, WIDTH))


def _silent() -> Source:
    make = of_arguments(*picture(5, 25), *_H264)
    return Source("silent", 5, flashing(seconds_between(0, 5)), (), frames(25, 0, 5), make)


def turn_quarter(path: Path) -> None:
    """Write into an MP4 file that its picture is to be shown turned by a quarter, as phones do."""
    content = path.read_bytes()
    upright = struct.pack(">9i", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
    turned = struct.pack(">9i", 0, 0x10000, 0, -0x10000, 0, 0, HEIGHT << 16, 0, 0x40000000)
    at = content.index(upright, content.index(b"tkhd"))
    path.write_bytes(content[:at] + turned + content[at + len(turned) :])


SOURCES = {
    source.name: source
    for source in (
        _constant("constant", 6, 25),
        _constant("fast", 5, 60),
        _slides(),
        _screen_recording(),
        _late_sound(),
        _late_picture(),
        _still(),
        _phone(),
        _silent(),
    )
}
