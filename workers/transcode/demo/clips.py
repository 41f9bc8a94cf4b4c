"""The videos of the demo: what is made from ffmpeg's test sources, and how."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from workers.transcode.sample import make_sample


@dataclass(frozen=True, slots=True)
class Clip:
    """One source to make; `name` is its `video_id` and so the key of its job. `channels` are those of its sound."""

    name: str
    size: tuple[int, int]
    seconds: float
    frame_rate: float
    channels: int

    @property
    def file(self) -> str:
        """Its file's name."""
        return f"{self.name}.mp4"

    def __str__(self) -> str:
        sound = {0: "silent", 1: "mono", 2: "stereo"}[self.channels]
        return f"{self.size[0]}x{self.size[1]}, {self.frame_rate:g} fps, {sound}, {self.seconds:g} s"


# Submitted in this order. The names are chosen so that each lies in a partition of its own, and every worker gets some.
CLIPS = (
    Clip("webcam", (640, 480), 8.0, 15, 1),
    Clip("slideshow", (1024, 768), 8.0, 5, 0),
    Clip("portrait", (360, 640), 8.0, 30, 1),
    Clip("cinema", (1280, 536), 6.0, 24, 2),
    Clip("match", (854, 480), 6.0, 50, 2),
    Clip("lecture", (1280, 720), 48.0, 30, 2),
)
# The one that all workers share: the last, so that nothing but watching is left to do meanwhile.
LONG = CLIPS[-1]
# So many chunks of pictures it has, by the settings of the demo.
CHUNKS = 6


async def make_clips(directory: Path) -> None:
    """Make all sources in `directory`. Raises as `make_sample` does."""
    for number, clip in enumerate(CLIPS):
        await make_sample(
            directory / clip.file,
            seconds=clip.seconds,
            size=clip.size,
            frame_rate=clip.frame_rate,
            channels=clip.channels,
            tone=220.0 * (number + 1),
        )
