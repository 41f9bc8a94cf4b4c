"""What is to be seen and heard of a file, as PyAV decodes it: where flashes and beeps begin."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import av
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter

_BRIGHT = 128
# A tone of half the full amplitude, against what the codec makes of silence.
_LOUD = 3000
# Within a tone there are quiet samples; a new one begins only after this long without a loud one.
_QUIET_SECONDS = 0.3


def flashes(path: Path) -> list[float]:
    """Return when pictures become bright, in seconds."""
    with av.open(str(path)) as media:
        if not media.streams.video:
            return []
        # One for all pictures: each has a scaler of its own otherwise, which takes longer than scaling does.
        scaler = VideoReformatter()
        shown = media.decode(video=0)
        return list(_onsets((frame.time or 0.0, _brightness(frame, scaler) > _BRIGHT) for frame in shown))


def beeps(path: Path) -> list[float]:
    """Return when sound becomes loud, in seconds."""
    with av.open(str(path)) as media:
        if not media.streams.audio:
            return []
        found: list[float] = []
        last = -1.0
        for time in _loud(media.decode(audio=0)):
            if not found or time - last > _QUIET_SECONDS:
                found.append(time)
            last = time
        return found


def _onsets(bright: Iterable[tuple[float, bool]]) -> Iterator[float]:
    before = False
    for time, now in bright:
        if now and not before:
            yield time
        before = now


def _brightness(frame: VideoFrame, scaler: VideoReformatter) -> float:
    small = scaler.reformat(frame, width=16, height=16, format="gray")
    plane = small.planes[0]
    rows = bytes(plane)
    return sum(sum(rows[y * plane.line_size :][:16]) for y in range(16)) / 256


def _loud(decoded: Iterable[AudioFrame]) -> Iterator[float]:
    """Yield the time of each sample that is loud."""
    resampler = AudioResampler(format="s16", layout="mono")
    for frame in decoded:
        for mono in resampler.resample(frame):
            values = memoryview(bytes(mono.planes[0])).cast("h")[: mono.samples]
            start, rate = frame.time or 0.0, mono.sample_rate
            # Most of it is silence, which is passed over at once.
            if values and max(max(values), -min(values)) > _LOUD:
                yield from (start + number / rate for number, value in enumerate(values) if abs(value) > _LOUD)
