"""The processor of job type `transcode`: a source becomes MP4 renditions, an HLS package and a poster.

The line of stages: open -> probe -> plan -> encode -> package -> verify -> store. Each takes the value that the one
before it made. Files become blobs only after all of them have passed every check.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import anyio
from anyio import to_thread

from jobkit import Context, Reject, RetryPolicy, processor
from workers.transcode import hls, progress, verify
from workers.transcode.check import check
from workers.transcode.errors import OutputInvalid
from workers.transcode.ffmpeg import Ffmpeg, required_ffmpeg
from workers.transcode.media import Media
from workers.transcode.payload import Rendition, SourceInfo, Transcode, TranscodeResult
from workers.transcode.plan import (
    HLS_DIRECTORY,
    HLS_MASTER,
    POSTER,
    TranscodePlan,
    encode_arguments,
    make_plan,
    package_arguments,
    playlist_file,
    poster_arguments,
    rendition_file,
)
from workers.transcode.probe import SOURCE_FORMATS, ProbeTask, Unusable, probe, usable_source
from workers.transcode.process import Bounds, Limits, Supervisor
from workers.transcode.settings import LONGEST_TIMEOUT_SECONDS, TranscodeSettings
from workers.transcode.source import FileSource, OpenSource, Source, open_source

# What our own outputs may be read as.
_RENDITION_FORMATS, _PLAYLIST_FORMATS, _POSTER_FORMATS = "mov", "hls,mov", "image2,jpeg_pipe"


@dataclass(frozen=True, slots=True)
class _Bench:
    """What every stage works with; `directory` is the attempt's own."""

    ctx: Context
    settings: TranscodeSettings
    supervisor: Supervisor
    ffmpeg: Ffmpeg
    directory: Path

    async def report(self, step: progress.Step, fraction: float) -> None:
        await self.ctx.progress(step.at(fraction), step.message)


@dataclass(frozen=True, slots=True)
class _Checked:
    """What passed: the facts of each rendition in the plan's order, and the variants of the HLS package."""

    renditions: Sequence[Media]
    variants: Sequence[hls.Variant]


@processor(
    "transcode",
    key=lambda job: job.video_id,
    # Above the longest that the settings allow, so that the message is the one that names the setting.
    timeout=timedelta(seconds=2 * LONGEST_TIMEOUT_SECONDS),
    retry=RetryPolicy(max_attempts=3, initial=timedelta(seconds=10)),
    settings=TranscodeSettings,
    check=check,
)
async def transcode(job: Transcode, ctx: Context) -> TranscodeResult:
    """Make renditions, an HLS package and a poster of one video.

    Raises `Reject` where the source can never be transcoded, a `TranscodeFailed` where another attempt may do it.
    """
    settings = ctx.settings(TranscodeSettings)
    directory = await ctx.workdir() / "transcode"
    await anyio.Path(directory).mkdir()
    supervisor = _supervisor(ctx, settings)
    ffmpeg = Ffmpeg(supervisor, required_ffmpeg(settings.ffmpeg), directory)
    bench = _Bench(ctx, settings, supervisor, ffmpeg, directory)
    sources: Mapping[str, Source] = {"file": FileSource(settings.source_roots)}

    async with open_source(job.source, sources) as source:
        try:
            media = await _look_into(bench, source)
            plan = make_plan(media, settings, ladder=job.ladder, hls=job.hls, poster_at=job.poster_at)
            ctx.log.info("transcoding", renditions=[rung.name for rung in plan.rungs], seconds=round(plan.duration, 3))
            await _encode(bench, plan, source)
        except Reject:
            # A file that is still being written looks broken, and will be whole another time.
            source.require_unchanged()
            raise
        source.require_unchanged()
        size = source.size
    await _package(bench, plan)
    checked = await _verify(bench, plan, media)
    result = await to_thread.run_sync(_result, job, media, size, plan, checked, directory)
    await _store(bench, plan)
    # The trace by which `jobkit verify` can tell that no transcode of this video took effect twice.
    ctx.append("transcoded", {"duration": result.duration, "renditions": [rung.name for rung in plan.rungs]})
    return result


def _supervisor(ctx: Context, settings: TranscodeSettings) -> Supervisor:
    # A process cannot use more CPU time than all cores have until its timeout; the limit is for one that nobody
    # watches any more.
    cpu_seconds = math.ceil(settings.timeout) * (os.cpu_count() or 1)
    limits = Limits(settings.memory_mb, cpu_seconds, settings.max_output_mb, settings.nice)
    bounds = Bounds(settings.stall_timeout, settings.timeout, settings.kill_grace)
    return Supervisor(limits, bounds, ctx.clock, ctx.log)


async def _look_into(bench: _Bench, source: OpenSource) -> Media:
    """Probe the source. Raises `Reject` where it is no video that can be transcoded."""
    await bench.report(progress.PROBE, 0.0)
    task = ProbeTask(source.argument(), SOURCE_FORMATS, False, bench.settings.threads)
    (found,) = await probe(bench.supervisor, [task], cwd=bench.directory, pass_fds=[source.fd])
    return usable_source(found, bench.settings)


async def _encode(bench: _Bench, plan: TranscodePlan, source: OpenSource) -> None:
    """Make all renditions in one run, which decodes the source once."""

    async def on_seconds(seconds: float) -> None:
        await bench.report(progress.ENCODE, seconds / plan.duration if plan.duration else 0.0)

    arguments = encode_arguments(plan, bench.settings, source.argument())
    await bench.ffmpeg.run(arguments, on_seconds=on_seconds, reads_source=True, pass_fds=[source.fd])


async def _package(bench: _Bench, plan: TranscodePlan) -> None:
    """Take the poster, and cut the renditions into segments."""

    async def on_seconds(seconds: float) -> None:
        await bench.report(progress.PACKAGE, seconds / plan.duration if plan.duration else 0.0)

    await bench.ffmpeg.run(poster_arguments(plan), on_seconds=on_seconds)
    if plan.hls:
        for rung in plan.rungs:
            folder = anyio.Path(bench.directory / playlist_file(rung)).parent
            await folder.mkdir(parents=True)
        await bench.ffmpeg.run(package_arguments(plan, bench.settings), on_seconds=on_seconds)


async def _verify(bench: _Bench, plan: TranscodePlan, source: Media) -> _Checked:
    """Decode and check every output; write the master playlist. Raises `OutputInvalid` with all that is wrong."""
    threads = bench.settings.threads
    tasks = [ProbeTask(f"file:{rendition_file(rung)}", _RENDITION_FORMATS, True, threads) for rung in plan.rungs]
    tasks += [ProbeTask(f"file:{POSTER}", _POSTER_FORMATS, True, threads)]
    playlists: list[hls.MediaPlaylist] = []
    if plan.hls:
        # Before anything opens them: a playlist without an end would be waited on.
        playlists = await to_thread.run_sync(_read_playlists, plan, bench.directory)
        tasks += [ProbeTask(playlist_file(rung), _PLAYLIST_FORMATS, True, threads) for rung in plan.rungs]

    async def on_position(done: int, seconds: float) -> None:
        inner = min(1.0, seconds / plan.duration) if plan.duration else 0.0
        await bench.report(progress.VERIFY, (done + inner) / len(tasks))

    found = await probe(bench.supervisor, tasks, cwd=bench.directory, on_position=on_position)
    count = len(plan.rungs)
    renditions = _checked_files(plan, source, found[:count], found[count])
    if not plan.hls:
        return _Checked(renditions, ())
    _check_package(plan, renditions, found[count + 1 :], playlists)
    variants = await to_thread.run_sync(_write_master, plan, renditions, playlists, bench.directory)
    return _Checked(renditions, variants)


def _checked_files(
    plan: TranscodePlan, source: Media, found: Sequence[Media | Unusable], poster: Media | Unusable
) -> list[Media]:
    """Return the facts of the renditions. Raises `OutputInvalid` where one of them, or the poster, is not right."""
    problems = [f"{POSTER}: {problem}" for problem in verify.poster_problems(poster, plan.rungs[0].size)]
    for rung, each in zip(plan.rungs, found, strict=True):
        wrong = verify.rendition_problems(each, rung.size, plan.channels, source)
        problems += [f"{rendition_file(rung)}: {problem}" for problem in wrong]
    _require_none(problems)
    renditions = [each for each in found if isinstance(each, Media)]
    names = [rung.name for rung in plan.rungs]
    _require_none(verify.alignment_problems(dict(zip(names, renditions, strict=True))))
    return renditions


def _read_playlists(plan: TranscodePlan, directory: Path) -> list[hls.MediaPlaylist]:
    """Return the media playlists. Raises `OutputInvalid` where one is not whole, or names a file that is not there."""
    problems: list[str] = []
    playlists: list[hls.MediaPlaylist] = []
    for name in map(playlist_file, plan.rungs):
        try:
            playlists.append(hls.parse_media_playlist((directory / name).read_text()))
        except (ValueError, FileNotFoundError) as error:
            raise OutputInvalid(f"outputs are not as planned: {name}: {error}") from error
        problems += [f"{name}: {each}" for each in verify.missing_files(directory, name, playlists[-1].files())]
    _require_none(problems)
    return playlists


def _check_package(
    plan: TranscodePlan,
    renditions: Sequence[Media],
    found: Sequence[Media | Unusable],
    playlists: Sequence[hls.MediaPlaylist],
) -> None:
    problems: list[str] = []
    for rung, rendition, packaged, playlist in zip(plan.rungs, renditions, found, playlists, strict=True):
        wrong = verify.package_problems(packaged, rendition, playlist)
        problems += [f"{playlist_file(rung)}: {problem}" for problem in wrong]
    _require_none(problems)


def _write_master(
    plan: TranscodePlan, renditions: Sequence[Media], playlists: Sequence[hls.MediaPlaylist], directory: Path
) -> list[hls.Variant]:
    """Write the master playlist, check it as it can be read, and return its variants."""
    variants = [
        _variant(rung.name, rendition, playlist, (directory / playlist_file(rung)).parent)
        for rung, rendition, playlist in zip(plan.rungs, renditions, playlists, strict=True)
    ]
    master = directory / HLS_MASTER
    master.write_text(hls.master_playlist(variants))
    read = hls.parse_master_playlist(master.read_text())
    wrong = verify.master_problems(read, variants)
    wrong += verify.missing_files(directory, HLS_MASTER, [variant.uri for variant in read])
    _require_none([f"{HLS_MASTER}: {problem}" for problem in wrong])
    return variants


def _variant(name: str, rendition: Media, playlist: hls.MediaPlaylist, folder: Path) -> hls.Variant:
    sizes = [(folder / segment.uri).stat().st_size for segment in playlist.segments]
    peak, average = hls.bandwidths(playlist, sizes)
    video = rendition.video
    rate = round(video.frame_rate, 3)
    return hls.Variant(f"{name}/index.m3u8", peak, average, _codecs(rendition), video.shown, rate)


def _codecs(rendition: Media) -> str:
    return hls.codecs(rendition.video.profile or "", has_audio=rendition.audio is not None)


def _require_none(problems: Sequence[str]) -> None:
    if problems:
        raise OutputInvalid(f"outputs are not as planned: {'; '.join(problems)}")


async def _store(bench: _Bench, plan: TranscodePlan) -> None:
    """Hand the checked files over; they become visible when the runtime commits."""
    blobs = bench.ctx.blobs
    names = [*(rendition_file(rung) for rung in plan.rungs), POSTER]
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


def _result(
    job: Transcode, source: Media, source_size: int, plan: TranscodePlan, checked: _Checked, directory: Path
) -> TranscodeResult:
    """Return everything that is known of what was made, as it was found, not as it was planned."""
    renditions = []
    for rung, media in zip(plan.rungs, checked.renditions, strict=True):
        video, audio = media.video, media.audio
        renditions.append(
            Rendition(
                name=rung.name,
                width=video.width,
                height=video.height,
                frame_rate=round(video.frame_rate, 3),
                video_codec=video.codec,
                audio_codec=None if audio is None else audio.codec,
                audio_channels=None if audio is None else audio.channels,
                codecs=_codecs(media),
                duration=round(media.duration, 3),
                size=(directory / rendition_file(rung)).stat().st_size,
                blob=rendition_file(rung),
                playlist=playlist_file(rung) if plan.hls else None,
            )
        )
    return TranscodeResult(
        video_id=job.video_id,
        duration=round(source.duration, 3),
        source=_source_info(source, source_size),
        renditions=tuple(renditions),
        hls_master=HLS_MASTER if plan.hls else None,
        poster=POSTER,
    )


def _source_info(source: Media, size: int) -> SourceInfo:
    video, audio = source.video, source.audio
    return SourceInfo(
        container=source.container,
        size=size,
        duration=round(source.duration, 3),
        width=video.shown.width,
        height=video.shown.height,
        rotation=video.rotation,
        frame_rate=round(video.frame_rate, 3),
        video_codec=video.codec,
        audio_codec=None if audio is None else audio.codec,
        audio_channels=None if audio is None else audio.channels,
        sample_rate=None if audio is None else audio.sample_rate,
    )
