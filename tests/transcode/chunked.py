"""A source whole and in chunks, without workers: what ffmpeg makes of each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import structlog

from jobkit.model.clock import SystemClock
from workers.transcode.arguments import encode_arguments
from workers.transcode.chunk_plan import chunk_plan, plan_chunks, sound_plan
from workers.transcode.ffmpeg import Ffmpeg
from workers.transcode.joining import join
from workers.transcode.payload import Transcode
from workers.transcode.plan import SOUND_FILE, TranscodePlan, make_plan, rendition_file
from workers.transcode.probe import SOURCE_FORMATS, ProbeTask, probe, usable_source
from workers.transcode.process import Bounds, Limits, Supervisor
from workers.transcode.settings import TranscodeSettings


@dataclass(frozen=True)
class Made:
    """The renditions of a source, encoded whole and in chunks, largest first."""

    plan: TranscodePlan
    chunks: int
    whole: list[Path]
    joined: list[Path]


async def made_both_ways(source: Path, folder: Path, ffmpeg: str, **changes: object) -> Made:
    """Encode a source whole and in chunks of 2 s, in segments of 1 s."""
    given = {"preset": "ultrafast", "segment_seconds": 1, "chunk_seconds": 2, "split_seconds": 2, "threads": 1}
    settings = TranscodeSettings.model_validate({**given, "ladder": (32, 16), "nice": 0, **changes})
    supervisor = Supervisor(Limits(6144, 600, 1024, 0), Bounds(60, 600, 1), SystemClock(), structlog.get_logger())
    task = ProbeTask(f"file:{source}", SOURCE_FORMATS, False, 1, cell_seconds=settings.segment_seconds)
    (found,) = await probe(supervisor, [task], cwd=folder)
    media = usable_source(found, settings)
    plan = make_plan(media, settings)
    chunks = plan_chunks(Transcode(video_id="v", source="s"), media, plan, settings)

    async def encode(part: TranscodePlan, name: str) -> Path:
        (folder / name).mkdir()
        await Ffmpeg(supervisor, Path(ffmpeg), folder / name).run(
            encode_arguments(part, settings, f"file:{source}"), reads_source=True
        )
        return folder / name

    whole = await encode(plan, "whole")
    parts = [await encode(chunk_plan(plan, chunk, settings.segment_seconds), str(chunk.number)) for chunk in chunks]
    sounds = sound_plan(plan)
    sound = None if sounds is None else await encode(sounds, "sound") / SOUND_FILE
    names = [rendition_file(rung) for rung in plan.rungs]
    for name in names if chunks else ():
        join([part / name for part in parts], sound, folder / name, lambda _: None)
    return Made(plan, len(chunks), [whole / name for name in names], [folder / name for name in names])
