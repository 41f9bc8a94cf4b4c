"""The processor of job type `transcode`: a source becomes MP4 renditions, a package for players and a poster.

The line of stages: open -> probe -> plan -> encode -> package -> check -> encrypt -> store. Each takes the value that
the one before it made. Files become blobs only after all of them have passed every check.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Annotated

import anyio
from anyio import to_thread

from jobkit import Context, Reject, RetryPolicy, processor
from workers.transcode import progress
from workers.transcode.animation import readable
from workers.transcode.arguments import encode_arguments
from workers.transcode.check_outputs import check_outputs
from workers.transcode.chunk_plan import plan_chunks
from workers.transcode.content_key import PackageKey
from workers.transcode.encrypting import encrypt_package
from workers.transcode.errors import FfmpegFailed, OutputInvalid, OutputUnfit, PackagingFailed
from workers.transcode.filters import MAPPING_FILTERS, Gamut, gamut
from workers.transcode.job_tools import Bench, open_bench
from workers.transcode.key_sources import ask_key
from workers.transcode.lowest_first import await_lowest, has_awaited, lowest_first, require_no_files
from workers.transcode.machine_check import check
from workers.transcode.media import Media
from workers.transcode.outcome import keeps_mp4, make_result
from workers.transcode.output_problems import WHAT_TO_DO
from workers.transcode.packaging import package, write_manifests
from workers.transcode.payload import Transcode, TranscodeResult
from workers.transcode.plan import HLS_DIRECTORY, POSTER, TranscodePlan, make_plan, rendition_file
from workers.transcode.poster import take_poster
from workers.transcode.probe import SOURCE_FORMATS, ProbeTask, probe, usable_source
from workers.transcode.settings import LONGEST_TIMEOUT_SECONDS, TranscodeSettings
from workers.transcode.source import OpenSource, open_source
from workers.transcode.source_schemes import sources_of
from workers.transcode.split import Split, hand_out, join_chunks, make_split, may_be_split
from workers.transcode.storyboard_processor import Storyboard, require_storyboard
from workers.transcode.target_quality import reach_quality
from workers.transcode.working_encoders import ChosenProfile, WorkingEncoders, abilities, working_encoders

# Of what the encoders may write at most, so much there must be room for: they seldom need more than half.
_ROOM_SHARE = 0.1


@processor(
    "transcode",
    key=lambda job: job.video_id,
    # Above the longest that the settings allow, so that the message is the one that names the setting.
    timeout=timedelta(seconds=2 * LONGEST_TIMEOUT_SECONDS),
    retry=RetryPolicy(max_attempts=3, initial=timedelta(seconds=10)),
    settings=TranscodeSettings,
    check=check,
    describe=abilities,
)
async def transcode(
    job: Transcode, ctx: Context, encoders: Annotated[WorkingEncoders, working_encoders]
) -> TranscodeResult:
    """Make renditions, a package for players and a poster of one video.

    Raises `Reject` where the source can never be transcoded, a `TranscodeFailed` where another attempt may do it.
    """
    chosen = await encoders.choose(job.profile)
    # Before all the work: a key that cannot be had is known at once.
    key = await _key(job, ctx, chosen.settings)
    if job.storyboard:
        if not keeps_mp4(job, key):
            raise Reject("a storyboard was asked for, which is made of the MP4 files: have them kept with mp4 = true")
        require_storyboard(job.video_id, ctx)
    await require_no_files(ctx, job)
    bench = await open_bench(ctx, chosen.settings)
    try:
        return await _transcode(job, bench, chosen, encoders, key)
    except (FfmpegFailed, PackagingFailed, OutputInvalid) as error:
        # A full disk shows in many ways, in odd words, and in some programs not at all.
        raise await bench.explained(error) from error


async def _key(job: Transcode, ctx: Context, settings: TranscodeSettings) -> PackageKey | None:
    """Return the key that a package is to be encrypted with; None where it is not to be."""
    encryption = job.encryption or settings.encryption
    if encryption is None:
        return None
    if not job.hls:
        raise Reject("the package is to be encrypted, and hls = false leaves it out: only the clear MP4 files would be")
    return await ask_key(settings, job.video_id, ctx.job.id, encryption)


async def _transcode(
    job: Transcode, bench: Bench, chosen: ChosenProfile, encoders: WorkingEncoders, key: PackageKey | None
) -> TranscodeResult:
    settings = bench.settings
    splits = may_be_split(job, settings)
    split = await bench.ctx.resume(Split) if splits else None
    lowest = await lowest_first(bench.ctx, job)
    if split is not None:
        bench = replace(bench, settings=split.over(settings))
        known = await join_chunks(bench, job, split, lowest)
        return await _finish(job, bench, split.plan, split.media, split.size, chosen, key, known=known)
    if lowest is not None and not splits:
        # Before the source is opened: one that is fetched is fetched once less.
        await await_lowest(bench.ctx, lowest)
    async with open_source(job.source, sources_of(bench)) as source:
        try:
            async with readable(bench, source) as video:
                media = await _look_into(bench, video, settings.segment_seconds if splits else 0.0)
                await _require_mapping(bench, media)
                plan = make_plan(
                    media,
                    settings,
                    ladder=job.ladder,
                    ways=chosen.ways,
                    sounds=chosen.sounds,
                    hls=job.hls,
                    poster_at=job.poster_at,
                    lowest=job.lowest,
                )
                chunks = plan_chunks(job, media, plan, settings) if video is source and source.stays else ()
                in_chunks = bool(chunks) and not await has_awaited(bench.ctx)
                if lowest is not None and not in_chunks:
                    # It looks for the quality of its own rendition, and so need not wait for that of all.
                    await await_lowest(bench.ctx, lowest)
                async with encoders.on_devices(chosen.ways):
                    plan = await reach_quality(bench, plan, media, video, chosen.label)
                names = [rung.name for rung in plan.rungs]
                bench.ctx.log.info("transcoding", renditions=names, seconds=round(plan.duration, 3))
                if in_chunks:
                    await hand_out(bench, job, make_split(source, media, plan, chunks, settings), lowest)
                async with encoders.on_devices(chosen.ways):
                    await _encode(bench, plan, video)
        except Reject:
            # A file that is still being written looks broken, and will be whole another time.
            source.require_unchanged()
            raise
        source.require_unchanged()
        size = source.size
    return await _finish(job, bench, plan, media, size, chosen, key)


async def _finish(
    job: Transcode,
    bench: Bench,
    plan: TranscodePlan,
    media: Media,
    size: int,
    chosen: ChosenProfile,
    key: PackageKey | None,
    *,
    known: bool = False,
) -> TranscodeResult:
    """Package, check and store the renditions, however they were made; their pictures may be `known` to be right."""
    await _package(bench, plan)
    checked = await check_outputs(bench, plan, media, known=known)
    playlists = checked.playlists
    if playlists is not None:
        if key is not None:
            playlists = await encrypt_package(bench, plan, playlists, key)
        request = None if key is None else key.request
        await to_thread.run_sync(write_manifests, plan, checked.renditions, playlists, bench.directory, request)
    result = await to_thread.run_sync(
        make_result, job, media, size, plan, checked.renditions, bench.directory, chosen, key
    )
    for warning in result.warnings:
        bench.ctx.log.warning("done, but", warning=warning)
    await _store(bench, plan, mp4=keeps_mp4(job, key))
    if job.storyboard:
        bench.ctx.submit("storyboard", Storyboard(video_id=job.video_id))
    # The trace by which `jobkit verify` can tell that no transcode of this video took effect twice.
    bench.ctx.append("transcoded", {"duration": result.duration, "renditions": [rung.name for rung in plan.rungs]})
    return result


async def _look_into(bench: Bench, source: OpenSource, cell_seconds: float) -> Media:
    """Probe the source. Raises `Reject` where it is no video that can be transcoded."""
    await bench.report(progress.PROBE, 0.0)
    task = ProbeTask(source.argument(), SOURCE_FORMATS, False, bench.settings.threads, cell_seconds=cell_seconds)
    (found,) = await probe(bench.supervisor, [task], cwd=bench.directory, pass_fds=[source.fd])
    return usable_source(found, bench.settings)


async def _require_mapping(bench: Bench, media: Media) -> None:
    """Raise `Reject` where colours have to be mapped to BT.709, but may not be, or cannot be by this ffmpeg."""
    found, setting = gamut(media.video.colour), bench.settings.hdr
    if found is Gamut.STANDARD or (found is Gamut.HDR and setting == "keep"):
        return
    if found is Gamut.HDR and setting == "refuse":
        raise Reject("the source cannot be transcoded: it is HDR, which JOBKIT_TRANSCODE_HDR refuses")
    missing = sorted(MAPPING_FILTERS - await bench.ffmpeg.filters())
    if missing:
        raise Reject(
            f"the source cannot be transcoded: mapping its colours to BT.709 takes filters that this ffmpeg does not "
            f"have ({', '.join(missing)}); set another with JOBKIT_TRANSCODE_FFMPEG"
        )


async def _encode(bench: Bench, plan: TranscodePlan, source: OpenSource) -> None:
    """Make all renditions in one run, which decodes the source once."""
    most = sum(rung.max_bitrate for rung in plan.rungs) / 8 * plan.duration
    await bench.require_room(round(_ROOM_SHARE * most), "the renditions")

    began = bench.ctx.clock.now()

    async def on_seconds(seconds: float) -> None:
        detail = progress.pace(progress.ENCODE, seconds, plan.duration, bench.ctx.clock.now() - began)
        await bench.report(progress.ENCODE, seconds / plan.duration if plan.duration else 0.0, detail)

    arguments = encode_arguments(plan, bench.settings, source.argument())
    await bench.ffmpeg.run(arguments, on_seconds=on_seconds, reads_source=True, pass_fds=[source.fd])


async def _package(bench: Bench, plan: TranscodePlan) -> None:
    """Cut the renditions into segments, and take the poster."""
    await bench.report(progress.PACKAGE, 0.0)
    files = [anyio.Path(bench.directory / rendition_file(rung)) for rung in plan.rungs]
    missing = [file.name for file in files if not await file.is_file()]
    if missing:
        raise OutputUnfit(f"outputs are not as planned: ffmpeg wrote no {', '.join(missing)}; {WHAT_TO_DO}")
    if plan.hls:
        await bench.require_room(sum([(await file.stat()).st_size for file in files]), "the segments")
        await package(bench, plan)
    await take_poster(bench, plan)


async def _store(bench: Bench, plan: TranscodePlan, *, mp4: bool) -> None:
    """Hand the checked files over; they become visible when the runtime commits."""
    blobs = bench.ctx.blobs
    names = [*(rendition_file(rung) for rung in plan.rungs if mp4), POSTER]
    for number, name in enumerate(names):
        await bench.report(progress.STORE, number / (len(names) + 1))
        async with blobs.create(name) as path:
            await anyio.Path(bench.directory / name).rename(path)
    if plan.hls:
        await bench.report(progress.STORE, len(names) / (len(names) + 1))
        # The directory that is lent is empty, so it can be replaced as a whole.
        async with blobs.directory(HLS_DIRECTORY) as folder:
            await anyio.Path(bench.directory / HLS_DIRECTORY).rename(folder)
    await bench.report(progress.STORE, 1.0)
