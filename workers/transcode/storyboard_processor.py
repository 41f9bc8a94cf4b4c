"""The processor of job type `storyboard`: small pictures of a transcoded video, for the bar of a player.

It reads what `transcode` has committed for the same video, and so can be run after it, by itself, and again.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated

import anyio
from pydantic import Field

from jobkit import Context, Payload, Reject, Result, Retry, RetryPolicy, processor
from jobkit.errors import FileReplaced, UnknownType
from jobkit.files import CommittedFile, FileSet
from workers.transcode import output_problems
from workers.transcode.errors import FfmpegFailed, OutputInvalid
from workers.transcode.job_tools import Bench, open_bench
from workers.transcode.ladder import Size
from workers.transcode.media import Media
from workers.transcode.probe import ProbeTask, probe
from workers.transcode.progress import Step
from workers.transcode.settings import TranscodeSettings
from workers.transcode.sprites import VTT_FILE, lay_out, sheet_arguments, vtt

_FILM = "film.mp4"
# Those that every player shows: H.264 has no suffix.
_PLAIN = re.compile(r"\d+p\.mp4")
_MAKE, _STORE = Step(0.1, 0.95, "taking pictures"), Step(0.95, 1.0, "storing")


class Storyboard(Payload):
    """A transcoded video, by its id. `interval` is between pictures, None is by its length; `width` is in pixels."""

    video_id: Annotated[str, Field(min_length=1, max_length=200)]
    interval: Annotated[timedelta, Field(ge=timedelta(seconds=0.1))] | None = None
    width: Annotated[int, Field(ge=32, le=640, multiple_of=2)] = 160


class StoryboardResult(Result):
    """What was made: `vtt` and `sheets` are blobs, `interval` is in seconds, `width` and `height` of each picture."""

    video_id: str
    vtt: str
    sheets: tuple[str, ...]
    pictures: int
    interval: float
    width: int
    height: int


@processor(
    "storyboard",
    key=lambda job: job.video_id,
    timeout=timedelta(hours=2),
    retry=RetryPolicy(max_attempts=3, initial=timedelta(seconds=10)),
    settings=TranscodeSettings,
)
async def storyboard(job: Storyboard, ctx: Context) -> StoryboardResult:
    """Make sheets of small pictures and a WebVTT file of a video's smallest rendition.

    Raises `Reject` where the video has none, a `Retry` where another attempt may do it.
    """
    films = await ctx.files("transcode", job.video_id)
    film = _smallest(films)
    if film is None:
        raise Reject(f"video {job.video_id!r} has no renditions: transcode it first")
    bench = await open_bench(ctx, ctx.settings(TranscodeSettings))
    await bench.require_room(film.size, "the rendition that pictures are taken of")
    try:
        await films.download(film.name, bench.directory / _FILM)
    except FileReplaced as error:
        raise Retry(f"video {job.video_id!r} was transcoded anew meanwhile") from error
    try:
        return await _made(job, bench)
    except (FfmpegFailed, OutputInvalid) as error:
        raise await bench.explained(error) from error


def require_storyboard(video_id: str, ctx: Context) -> None:
    """Raise `Reject` where no storyboard can follow a job, as nobody here knows what that is."""
    try:
        ctx.new_job("storyboard", Storyboard(video_id=video_id))
    except UnknownType as error:
        raise Reject(
            "a storyboard was asked for, and this worker does not know that type: JOBKIT_PLUGINS names the plugin "
            "workers.transcode:storyboard"
        ) from error


def _smallest(films: FileSet) -> CommittedFile | None:
    renditions = [film for film in films if _PLAIN.fullmatch(film.name)]
    return min(renditions, key=lambda film: film.size, default=None)


async def _made(job: Storyboard, bench: Bench) -> StoryboardResult:
    (found,) = await probe(
        bench.supervisor, [ProbeTask(f"file:{_FILM}", "mov", False, bench.settings.threads)], cwd=bench.directory
    )
    if not isinstance(found, Media):
        raise OutputInvalid(f"the rendition cannot be read ({found})")
    every = None if job.interval is None else job.interval.total_seconds()
    board = lay_out(found.duration, found.video.shown, job.width, every)

    async def on_seconds(seconds: float) -> None:
        await bench.report(_MAKE, seconds / found.duration if found.duration else 0.0)

    await bench.ffmpeg.run(sheet_arguments(board, _FILM, bench.settings.threads), on_seconds=on_seconds)
    await _check(bench, board.sheets, board.sheet_size)
    await anyio.Path(bench.directory / VTT_FILE).write_text(vtt(board, found.duration), encoding="utf-8")
    await bench.report(_STORE, 0.0)
    for name in (*board.sheets, VTT_FILE):
        async with bench.ctx.blobs.create(name) as path:
            await anyio.Path(bench.directory / name).rename(path)
    return StoryboardResult(
        video_id=job.video_id,
        vtt=VTT_FILE,
        sheets=board.sheets,
        pictures=board.count,
        interval=round(board.interval, 3),
        width=board.tile.width,
        height=board.tile.height,
    )


async def _check(bench: Bench, sheets: tuple[str, ...], size: Size) -> None:
    """Raise `OutputInvalid` where a sheet is not there, or not as planned."""
    tasks = [ProbeTask(f"file:{name}", "image2,jpeg_pipe", True, 1) for name in sheets]
    found = await probe(bench.supervisor, tasks, cwd=bench.directory)
    wrong = [
        f"{name}: {problem}"
        for name, each in zip(sheets, found, strict=True)
        for problem in output_problems.poster_problems(each, size)
    ]
    if wrong:
        raise OutputInvalid(f"outputs are not as planned: {'; '.join(wrong)}")
