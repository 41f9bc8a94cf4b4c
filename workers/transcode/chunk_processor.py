"""The processor of job type `transcode.chunk`: one part of a video, for the job that made it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated

import anyio

from jobkit import Context, Reject, RetryPolicy, processor
from workers.transcode import output_problems
from workers.transcode.arguments import encode_arguments
from workers.transcode.check_outputs import RENDITION_FORMATS
from workers.transcode.chunk_payload import EncodedChunk, TranscodeChunk
from workers.transcode.errors import FfmpegFailed, OutputInvalid, OutputUnfit, SourceChanged
from workers.transcode.job_tools import Bench, open_bench
from workers.transcode.machine_check import check_for_chunks
from workers.transcode.media import Media
from workers.transcode.plan import SOUND_FILE, rendition_file
from workers.transcode.probe import ProbeTask, probe
from workers.transcode.progress import Step
from workers.transcode.renditions import Way
from workers.transcode.settings import LONGEST_TIMEOUT_SECONDS, TranscodeSettings
from workers.transcode.source import OpenSource, open_source
from workers.transcode.source_schemes import sources_of
from workers.transcode.working_encoders import WorkingEncoders, working_encoders

_ENCODE, _CHECK = Step(0.0, 0.9, "encoding"), Step(0.9, 1.0, "checking")


@processor(
    "transcode.chunk",
    key=lambda job: f"{job.parent}/{job.name}",
    timeout=timedelta(seconds=2 * LONGEST_TIMEOUT_SECONDS),
    retry=RetryPolicy(max_attempts=3, initial=timedelta(seconds=10)),
    settings=TranscodeSettings,
    check=check_for_chunks,
    file_retention="group",
)
async def transcode_chunk(
    job: TranscodeChunk, ctx: Context, encoders: Annotated[WorkingEncoders, working_encoders]
) -> EncodedChunk:
    """Encode one chunk of a video in all renditions, or its sounds and texts.

    Raises as `transcode` does.
    """
    settings = ctx.settings(TranscodeSettings).model_copy(update={"segment_seconds": job.segment_seconds})
    bench = await open_bench(ctx, settings)
    try:
        async with open_source(job.source, sources_of(bench)) as source:
            _require_same(job, source)
            try:
                async with encoders.on_devices([Way(rung.coding) for rung in job.plan.rungs]):
                    await _encode(bench, job, source)
            except Reject:
                source.require_unchanged()
                raise
            source.require_unchanged()
        return await _store(bench, job, await _check(bench, job))
    except (FfmpegFailed, OutputInvalid) as error:
        raise await bench.explained(error) from error


def _require_same(job: TranscodeChunk, source: OpenSource) -> None:
    """Raise `SourceChanged` where the source is another than the one that was planned for."""
    if (source.size, source.modified) != (job.size, job.modified):
        raise SourceChanged(f"source {job.source!r} was written to since its chunks were planned")


async def _encode(bench: Bench, job: TranscodeChunk, source: OpenSource) -> None:
    plan, chunk = job.plan, job.chunk
    start = 0.0 if chunk is None else chunk.start
    end = plan.duration if chunk is None or chunk.end is None else chunk.end

    async def on_seconds(seconds: float) -> None:
        await bench.report(_ENCODE, (seconds - start) / (end - start) if end > start else 0.0)

    arguments = encode_arguments(plan, bench.settings, source.argument())
    await bench.ffmpeg.run(arguments, on_seconds=on_seconds, reads_source=True, pass_fds=[source.fd])


async def _check(bench: Bench, job: TranscodeChunk) -> list[Media]:
    """Decode all that was made, and return the facts of each rendition.

    Raises `OutputInvalid` where a file is damaged, `OutputUnfit` where one is not as planned.
    """
    tasks = [
        ProbeTask(f"file:{rendition_file(rung)}", RENDITION_FORMATS, True, bench.settings.threads, digest=True)
        for rung in job.plan.rungs
    ]
    if not tasks:
        return []
    await bench.report(_CHECK, 0.0)
    found = await probe(bench.supervisor, tasks, cwd=bench.directory)
    media = [each for each in found if isinstance(each, Media)]
    if len(media) < len(tasks):
        raise OutputInvalid(f"chunk {job.name}: outputs cannot be decoded: {found}")
    problems = list(_problems(job, media))
    if problems:
        raise OutputUnfit(f"chunk {job.name} is not as planned: {'; '.join(problems)}; {output_problems.WHAT_TO_DO}")
    return media


def _problems(job: TranscodeChunk, media: Sequence[Media]) -> list[str]:
    names = [rung.name for rung in job.plan.rungs]
    problems = []
    for rung, each in zip(job.plan.rungs, media, strict=True):
        found = output_problems.picture_problems(each.video, rung.size, rung.coding, job.plan.video.colour)
        problems += [f"{rung.name}: {problem}" for problem in found]
    problems += output_problems.alignment_problems(dict(zip(names, media, strict=True)))
    if len({each.video.packets for each in media}) > 1:
        problems.append("renditions have different numbers of pictures")
    return problems


async def _store(bench: Bench, job: TranscodeChunk, renditions: Sequence[Media]) -> EncodedChunk:
    plan = job.plan
    names = [rendition_file(rung) for rung in plan.rungs]
    if plan.sound is not None:
        names.append(SOUND_FILE)
    names += [sound.file for sound in plan.other_sounds]
    names += [text.file for text in plan.texts]
    size = 0
    for name in names:
        made = anyio.Path(bench.directory / name)
        size += (await made.stat()).st_size
        async with bench.ctx.blobs.create(name) as path:
            await made.rename(path)
    pictures = renditions[0].video.packets if renditions else 0
    digests = tuple(each.digest for each in renditions)
    return EncodedChunk(pictures=pictures, size=size, files=tuple(names), digests=digests)
