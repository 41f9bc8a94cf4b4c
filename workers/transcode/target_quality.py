"""Looks for the quality by which each rendition reaches the VMAF score that its profile wants, on samples of the video.

All renditions of a sample are encoded in one run, as the whole will be, and compared with the source at their own size.
Encoders have one thread each, so that the same source and settings give the same quality; samples are made side by
side instead. What was found is kept with the job: a later attempt, and all chunks of a long video, have the same.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import anyio
from anyio import to_thread
from pydantic import BaseModel, ConfigDict

from workers.transcode import progress
from workers.transcode.arguments import VMAF_REPORT, encode_arguments, measure_arguments
from workers.transcode.box_reader import MalformedMp4
from workers.transcode.chunk_plan import Chunk, can_be_read_from, chunk_plan
from workers.transcode.errors import FfmpegFailed, Stalled
from workers.transcode.ffmpeg import Ffmpeg
from workers.transcode.finished import read_track
from workers.transcode.job_tools import Bench
from workers.transcode.ladder import Rung
from workers.transcode.media import Media
from workers.transcode.plan import TranscodePlan, rendition_file
from workers.transcode.process import first_error
from workers.transcode.quality_search import MOST_TRIES, Aim, Span, chosen_level, next_level, sample_spans
from workers.transcode.source import OpenSource
from workers.transcode.vmaf import SMALLEST_SIDE, Report, read_report

# Where a reader cannot seek, it decodes all that lies before a sample; so much it does well within any timeout.
_SECONDS_WITHOUT_SEEKING = 60.0


class FoundQuality(BaseModel):
    """What was found for a rendition: the level, and the mean score of all pictures of the samples with it.

    There is no score where no sample has a picture, or none can be measured.
    """

    model_config = ConfigDict(frozen=True)

    rendition: str
    level: int
    vmaf: float | None


async def reach_quality(
    bench: Bench, plan: TranscodePlan, media: Media, source: OpenSource, profile: str
) -> TranscodePlan:
    """Return the plan with the qualities that were found for it, by this attempt or an earlier one.

    Raises what running ffmpeg raises.
    """
    if all(rung.aim is None for rung in plan.rungs):
        return plan

    async def search() -> list[FoundQuality]:
        return await _Search(bench, plan, media, source).run()

    # Of a source that was written to meanwhile, or by another profile, it would be another one. What this attempt has
    # made for itself is written at another time by each.
    name = f"quality of {profile}, {source.size} bytes" + (f", {source.modified}" if source.stays else "")
    found = {each.rendition: each for each in await bench.ctx.step(name, search)}
    return replace(plan, rungs=tuple(_with(rung, found.get(rung.name)) for rung in plan.rungs))


def _with(rung: Rung, found: FoundQuality | None) -> Rung:
    return rung if found is None else replace(_at_level(rung, found.level), vmaf=found.vmaf)


def _at_level(rung: Rung, level: int) -> Rung:
    return replace(rung, coding=replace(rung.coding, level=level))


class _Incomparable(Exception):
    """An encoded sample could not be compared with the source; the message says why."""


class _Search:
    """One search, for all renditions of a source that have an aim."""

    def __init__(self, bench: Bench, plan: TranscodePlan, media: Media, source: OpenSource) -> None:
        self._bench = bench
        self._plan = plan
        self._source = source
        self._seeks = can_be_read_from(media)
        reach = plan.duration if self._seeks else min(plan.duration, _SECONDS_WITHOUT_SEEKING)
        self._spans = sample_spans(reach, bench.settings.segment_seconds)
        self._settings = bench.settings.model_copy(update={"threads": 1})
        self._folder = bench.directory / "samples"

    async def run(self) -> list[FoundQuality]:
        """Try qualities on the samples, until each rendition has the one it needs, or as often as may be."""
        aims = {rung.name: rung.aim for rung in self._plan.rungs if rung.aim is not None and _is_measurable(rung)}
        tried: dict[str, dict[int, float]] = {rung.name: {} for rung in self._plan.rungs}
        for number in range(MOST_TRIES):
            rungs = [wanted for rung in self._plan.rungs if (wanted := _wanted(rung, aims, tried)) is not None]
            if not rungs:
                break
            await self._bench.report(progress.AIM, 0.0, f", try {number + 1} of {MOST_TRIES} at most")
            for rung, score in zip(rungs, await self._scores(rungs), strict=True):
                if score is None:
                    # Without a picture in any sample, or where none can be measured, there is nothing to go by.
                    del aims[rung.name]
                else:
                    tried[rung.name][rung.coding.level] = score
        self._bench.ctx.log.info("found qualities", tried=tried)
        return [_found(rung, rung.aim, tried[rung.name]) for rung in self._plan.rungs if rung.aim is not None]

    async def _scores(self, rungs: Sequence[Rung]) -> list[float | None]:
        """Return the mean score of each rendition over all samples; None where no sample has a picture."""
        seconds = sum((self._plan.duration if span.end is None else span.end) - span.start for span in self._spans)
        await self._bench.require_room(round(sum(rung.max_bitrate for rung in rungs) / 8 * seconds), "the samples")
        reports: list[list[Report]] = [[] for _ in self._spans]
        places = anyio.CapacityLimiter(self._bench.settings.threads)

        async def measure(number: int) -> None:
            async with places:
                reports[number] = await self._measured(rungs, number, self._spans[number])

        failure: BaseException | None = None
        try:
            async with anyio.create_task_group() as tasks:
                for number in range(len(self._spans)):
                    tasks.start_soon(partial(measure, number))
        except ExceptionGroup as group:
            failure = first_error(group)
        # Raised bare: callers know errors by their type, and a group would hide a lost lease from the runtime.
        if failure is not None:
            raise failure
        return [_mean([each[place] for each in reports if each]) for place in range(len(rungs))]

    async def _measured(self, rungs: Sequence[Rung], number: int, span: Span) -> list[Report]:
        """Encode one sample and compare it with the source; return a report for each rendition, or none at all."""
        folder = self._folder / str(number)
        await anyio.Path(folder).mkdir(parents=True)
        ffmpeg = replace(self._bench.ffmpeg, directory=folder)
        plan = self._sample_plan(rungs, number, span)
        encode = encode_arguments(plan, self._settings, self._source.argument())
        reports: list[Report] = []
        try:
            await ffmpeg.run(encode, reads_source=True, pass_fds=[self._source.fd])
            if await to_thread.run_sync(_has_pictures, folder, rungs[0]):
                reports = await self._compared(ffmpeg, plan)
        except (_Incomparable, Stalled) as error:
            # What can be encoded is not to fail because it cannot be compared, or not soon; the result tells.
            self._bench.ctx.log.warning("a sample cannot be measured", start=span.start, error=str(error))
        await to_thread.run_sync(shutil.rmtree, folder)
        return reports

    async def _compared(self, ffmpeg: Ffmpeg, plan: TranscodePlan) -> list[Report]:
        measure = measure_arguments(plan, self._settings, self._source.argument())
        try:
            await ffmpeg.run(measure, pass_fds=[self._source.fd])
            return await to_thread.run_sync(_read, ffmpeg.directory, len(plan.rungs))
        except FfmpegFailed as error:
            raise _Incomparable(str(error)) from error

    def _sample_plan(self, rungs: Sequence[Rung], number: int, span: Span) -> TranscodePlan:
        plan = replace(self._plan, rungs=tuple(rungs))
        sample = chunk_plan(plan, Chunk(number, span.start, span.end), self._settings.segment_seconds)
        if self._seeks or sample.picture.part is None:
            return sample
        return replace(sample, picture=replace(sample.picture, part=replace(sample.picture.part, read_from=0.0)))


def _found(rung: Rung, aim: Aim, tried: dict[int, float]) -> FoundQuality:
    level = chosen_level(aim, tried) if tried else rung.coding.level
    return FoundQuality(rendition=rung.name, level=level, vmaf=tried.get(level))


def _wanted(rung: Rung, aims: dict[str, Aim], tried: dict[str, dict[int, float]]) -> Rung | None:
    aim = aims.get(rung.name)
    level = None if aim is None else next_level(aim, rung.coding.level, tried[rung.name])
    return None if level is None else _at_level(rung, level)


def _is_measurable(rung: Rung) -> bool:
    return rung.size.short >= SMALLEST_SIDE


def _has_pictures(folder: Path, rung: Rung) -> bool:
    try:
        track = read_track(folder / rendition_file(rung), "vide")
    except (MalformedMp4, FileNotFoundError):
        return False
    return track is not None and bool(track.units)


def _read(folder: Path, count: int) -> list[Report]:
    try:
        return [read_report(folder / VMAF_REPORT.format(number)) for number in range(count)]
    except (ValueError, FileNotFoundError) as error:
        raise FfmpegFailed(f"ffmpeg measured VMAF and told nothing of it: {error}") from error


def _mean(reports: Sequence[Report]) -> float | None:
    pictures = sum(len(report.frames) for report in reports)
    if not pictures:
        return None
    return round(sum(report.mean * len(report.frames) for report in reports) / pictures, 3)
