"""What being sure costs: processor time of a whole job, beside that of plain ffmpeg commands for the same outputs.

`python -m tests.transcode.transcode_cost [SECONDS [SIZE]]` measures it over so many seconds of video, such as
`60 1920x1080`. It is processor time, and the encoding is measured once, within the job: it is the same command in both,
and takes more or less of the processor by what else the machine does.
"""

from __future__ import annotations

import resource
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import anyio
import structlog

from jobkit.model.clock import SystemClock
from tests.transcode.transcode_bench import FFMPEG, Desk, Samples
from workers.transcode import processor
from workers.transcode.arguments import poster_arguments
from workers.transcode.plan import POSTER, TranscodePlan, make_plan, rendition_file
from workers.transcode.probe import SOURCE_FORMATS, ProbeTask, probe, usable_source
from workers.transcode.process import Bounds, Limits, Supervisor
from workers.transcode.settings import TranscodeSettings

# A job should take so much more than the plain commands at most.
MOST = 0.08
PICTURE = "testsrc2=size={size}:rate=25,noise=alls=12:allf=t"
SECONDS, SIZE = 20, "1280x720"


def processor_seconds() -> float:
    """Return what this process and all that it waited for have used."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


async def measure(folder: Path, seconds: float, size: str) -> tuple[float, float]:
    """Return the processor seconds of a job, and those of plain commands for the same outputs."""
    desk = Desk(folder)
    source = desk.place(Samples(folder).make("cost.mp4", picture=PICTURE.format(size=size), seconds=seconds))
    desk.settings.update(preset="medium", segment_seconds=4.0)
    settings = TranscodeSettings(**desk.settings)
    encode = processor._encode
    encoding = 0.0

    async def timed(*arguments: Any) -> None:
        nonlocal encoding
        before = processor_seconds()
        await encode(*arguments)
        encoding += processor_seconds() - before

    before = processor_seconds()
    with patch.object(processor, "_encode", timed):
        await desk.run(source)
    job = processor_seconds() - before

    plain = folder / "plain"
    await anyio.Path(plain).mkdir()
    plan = await planned(source, settings, plain)
    before = processor_seconds()
    for rung in plan.rungs:
        (plain / rendition_file(rung)).symlink_to(desk.blobs / rendition_file(rung))
    for arguments in plain_commands(plan):
        await anyio.run_process([FFMPEG, *arguments], cwd=plain)
    return job, encoding + processor_seconds() - before


async def planned(source: str, settings: TranscodeSettings, folder: Path) -> TranscodePlan:
    limits = Limits(settings.memory_mb, 600, settings.max_output_mb, 0)
    supervisor = Supervisor(limits, Bounds(60, 600, 1), SystemClock(), structlog.get_logger())
    (found,) = await probe(supervisor, [ProbeTask(source, SOURCE_FORMATS, False, settings.threads)], cwd=folder)
    return make_plan(usable_source(found, settings), settings)


def plain_commands(plan: TranscodePlan) -> list[list[str]]:
    """Return what follows the encoding: one poster, and ffmpeg's own HLS muxer."""
    cut = ["-c", "copy", "-f", "hls", "-hls_time", "4", "-hls_playlist_type", "vod"]
    cut += ["-hls_segment_type", "fmp4", "-hls_fmp4_init_filename"]
    packages = [
        ["-v", "error", "-i", rendition_file(rung), *cut, f"{rung.name}.init.mp4", f"{rung.name}.m3u8"]
        for rung in plan.rungs
    ]
    return [poster_arguments(plan.rungs[0], {POSTER: plan.poster_times[0]}), *packages]


def main(arguments: list[str]) -> int:
    """Print what a job takes more than the plain commands."""
    seconds, size = [*arguments, *(str(SECONDS), SIZE)[len(arguments) :]]
    with TemporaryDirectory() as folder:
        job, plain = anyio.run(measure, Path(folder), float(seconds), size)
    print(f"{seconds} s of {size}: job {job:.1f} s, plain commands {plain:.1f} s of processor time,")
    print(f"which is {job / plain - 1:+.1%} (at most {MOST:+.0%} is wanted)")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
