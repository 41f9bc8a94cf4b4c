"""Makes sample videos, with sound, from ffmpeg's own test sources: for demonstrations and tests.

`python -m workers.transcode.sample OUT --seconds N --size WxH`
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import anyio

from workers.transcode.ffmpeg import required_ffmpeg
from workers.transcode.process import environment
from workers.transcode.settings import TranscodeSettings

_SIZE = re.compile(r"(\d{1,5})x(\d{1,5})")


async def make_sample(
    path: Path,
    *,
    seconds: float,
    size: tuple[int, int] = (1280, 720),
    frame_rate: float = 30.0,
    tone: float = 440.0,
    channels: int = 2,
    output: Sequence[str] = (),
    ffmpeg: str | None = None,
) -> Path:
    """Write a video with a moving picture and a tone (hertz; no sound with 0 channels) to `path` and return it.

    The container is that of the path's suffix; `output` are more arguments for ffmpeg. Raises
    `subprocess.CalledProcessError` where ffmpeg fails, `FfmpegFailed` where there is none.
    """
    binary = required_ffmpeg(ffmpeg if ffmpeg is not None else TranscodeSettings().ffmpeg)
    picture = f"testsrc2=size={size[0]}x{size[1]}:rate={frame_rate:g}"
    command = [str(binary), "-nostdin", "-hide_banner", "-v", "error", "-y", "-f", "lavfi", "-i", picture]
    if channels:
        command += ["-f", "lavfi", "-i", f"sine=frequency={tone:g}:sample_rate=48000", "-ac", str(channels)]
    command += ["-t", f"{seconds:g}", "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p"]
    command += ["-c:a", "aac", *output, f"file:{await anyio.Path(path).absolute()}"]
    await anyio.run_process(command, env=environment())
    return path


def main(arguments: Sequence[str]) -> int:
    """Make one sample as the command line says."""
    parser = argparse.ArgumentParser(prog="python -m workers.transcode.sample", description="Make a sample video.")
    parser.add_argument("out", type=Path, metavar="OUT", help="file to write, such as sample.mp4")
    parser.add_argument("--seconds", type=float, default=5.0, help="how long it lasts (default: 5)")
    parser.add_argument("--size", type=size_of, default=(1280, 720), metavar="WxH", help="default: 1280x720")
    parser.add_argument("--tone", type=float, default=440.0, help="frequency of its sound in hertz (default: 440)")
    chosen = parser.parse_args(arguments)

    async def make() -> None:
        await make_sample(chosen.out, seconds=chosen.seconds, size=chosen.size, tone=chosen.tone)

    anyio.run(make)
    return 0


def size_of(text: str) -> tuple[int, int]:
    """Return a size such as 1280x720. Raises `argparse.ArgumentTypeError` where it is none."""
    match = _SIZE.fullmatch(text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size such as 1280x720")
    return int(match[1]), int(match[2])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
