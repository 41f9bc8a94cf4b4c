"""What being sure costs: processor time of a whole job, beside that of plain ffmpeg commands for the same outputs."""

from __future__ import annotations

import resource
from pathlib import Path

import anyio
import pytest
import structlog
from transcode_bench import FFMPEG, Desk, Samples

from jobkit.model.clock import SystemClock
from workers.transcode.arguments import encode_arguments, poster_arguments
from workers.transcode.plan import POSTER, TranscodePlan, make_plan, rendition_file
from workers.transcode.probe import SOURCE_FORMATS, ProbeTask, probe, usable_source
from workers.transcode.process import Bounds, Limits, Supervisor
from workers.transcode.settings import TranscodeSettings

MOST = 0.08
PICTURE = "testsrc2=size=1280x720:rate=25,noise=alls=12:allf=t"


def processor_seconds() -> float:
    """Return what this process and all that it waited for have used."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


@pytest.mark.slow
@pytest.mark.timeout(3600)
async def test_a_job_takes_little_more_than_the_plain_commands(desk: Desk, samples: Samples, tmp_path: Path) -> None:
    source = desk.place(samples.make("cost.mp4", picture=PICTURE, seconds=20))
    desk.settings.update(preset="medium", segment_seconds=4.0)
    settings = TranscodeSettings(**desk.settings)
    before = processor_seconds()
    await desk.run(source)
    job = processor_seconds() - before

    folder = tmp_path / "plain"
    await anyio.Path(folder).mkdir()
    plan = await planned(source, settings, folder)
    before = processor_seconds()
    for arguments in plain_commands(plan, settings, source):
        await anyio.run_process([FFMPEG, *arguments], cwd=folder)
    plain = processor_seconds() - before
    print(f"job {job:.1f} s, plain commands {plain:.1f} s: {job / plain - 1:+.1%}")
    assert job / plain - 1 <= MOST


async def planned(source: str, settings: TranscodeSettings, folder: Path) -> TranscodePlan:
    limits = Limits(settings.memory_mb, 600, settings.max_output_mb, 0)
    supervisor = Supervisor(limits, Bounds(60, 600, 1), SystemClock(), structlog.get_logger())
    (found,) = await probe(supervisor, [ProbeTask(source, SOURCE_FORMATS, False, settings.threads)], cwd=folder)
    return make_plan(usable_source(found, settings), settings)


def plain_commands(plan: TranscodePlan, settings: TranscodeSettings, source: str) -> list[list[str]]:
    """Return the same encode, one poster, and ffmpeg's own HLS muxer."""
    cut = ["-c", "copy", "-f", "hls", "-hls_time", "4", "-hls_playlist_type", "vod"]
    cut += ["-hls_segment_type", "fmp4", "-hls_fmp4_init_filename"]
    packages = [
        ["-v", "error", "-i", rendition_file(rung), *cut, f"{rung.name}.init.mp4", f"{rung.name}.m3u8"]
        for rung in plan.rungs
    ]
    return [
        encode_arguments(plan, settings, source),
        poster_arguments(plan.rungs[0], {POSTER: plan.poster_times[0]}),
        *packages,
    ]
