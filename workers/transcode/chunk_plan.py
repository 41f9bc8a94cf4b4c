"""Where a long video is cut into chunks that are encoded apart. Pure: nothing here runs anything.

A cut lies where a segment begins: there every rendition has a keyframe in any case, before which no picture refers to
what comes after, so that a cut costs no quality but what an encoder would have remembered. Which pictures are in a
chunk follows from when they are shown, so none is lost or there twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from workers.transcode.cutting import CELL_SLACK
from workers.transcode.encoders import LIBX264
from workers.transcode.filters import Part
from workers.transcode.media import Media
from workers.transcode.payload import Transcode
from workers.transcode.plan import TranscodePlan
from workers.transcode.settings import TranscodeSettings

# In these a reader finds any time quickly, and when a picture is shown is told the same from wherever it begins.
_SEEKABLE = ("mov", "matroska")
# A reader begins so much earlier: for filters that look back, and where it comes out a little late.
_READ_BEFORE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Chunk:
    """One chunk, from `start` up to but without `end`, in seconds; None is the end of the video."""

    number: int
    start: float
    end: float | None


def may_be_split(job: Transcode, settings: TranscodeSettings) -> bool:
    """Return whether videos are to be split at all."""
    return settings.split_seconds is not None if job.split is None else job.split


def plan_chunks(job: Transcode, source: Media, plan: TranscodePlan, settings: TranscodeSettings) -> tuple[Chunk, ...]:
    """Return the chunks of a source that is to be split, or none. The same source and settings give the same."""
    long_enough = job.split or (settings.split_seconds is not None and plan.duration > settings.split_seconds)
    if not may_be_split(job, settings) or not long_enough or not _can_be_cut(source, plan):
        return ()
    chunks = tuple(_chunks(source, plan, settings))
    return chunks if len(chunks) > 1 else ()


def chunk_plan(plan: TranscodePlan, chunk: Chunk, segment_seconds: float) -> TranscodePlan:
    """Return the plan of a chunk's pictures: those of the whole, without any sound."""
    slack = segment_seconds * CELL_SLACK
    part = Part(
        start=max(0.0, chunk.start - slack),
        end=None if chunk.end is None else chunk.end - slack,
        read_from=max(0.0, chunk.start - _READ_BEFORE_SECONDS),
    )
    ends = plan.duration if chunk.end is None else chunk.end
    return replace(
        _light(plan),
        picture=replace(plan.picture, part=part, lead=plan.picture.lead and chunk.start == 0.0),
        audio_index=None,
        sound=None,
        other_sounds=(),
        texts=(),
        held=tuple(at for at in plan.held if chunk.start <= at <= ends),
    )


def sound_plan(plan: TranscodePlan) -> TranscodePlan | None:
    """Return the plan of all sounds and texts, whole; None where there are none."""
    if plan.sound is None and not plan.other_sounds and not plan.texts:
        return None
    return replace(_light(plan), rungs=(), held=())


def _light(plan: TranscodePlan) -> TranscodePlan:
    """Return a plan without what only looking at the source took."""
    return replace(plan, video=plan.video.model_copy(update={"cells": (), "pauses": ()}), poster_times=())


def can_be_read_from(source: Media) -> bool:
    """Return whether a reader that begins anywhere finds the same pictures at the same times."""
    # Where a clock goes back, what is shown when is known only to who has read all that comes before.
    clocks = [source.video, *([] if source.audio is None else [source.audio])]
    return not any(track.restarts for track in clocks) and any(name in source.container for name in _SEEKABLE)


def _can_be_cut(source: Media, plan: TranscodePlan) -> bool:
    # A reduced rate fills pauses with pictures that nobody has counted.
    counted = plan.picture.frame_rate_limit is None or not source.video.pauses
    # Only of this one it is known that what it makes of chunks fits together.
    alike = all(rung.coding.encoder is LIBX264 for rung in plan.rungs)
    return alike and counted and can_be_read_from(source)


def _chunks(source: Media, plan: TranscodePlan, settings: TranscodeSettings) -> Iterator[Chunk]:
    cells, width = source.video.cells, max(1, round(settings.chunk_seconds / settings.segment_seconds))
    # What is left over at the end is not worth a chunk, if it is less than half of one.
    starts = list(range(0, max(1, len(cells) - width // 2), width))
    number = 0
    for place, first in enumerate(starts):
        is_last = place == len(starts) - 1
        counted = sum(cells[first:] if is_last else cells[first : first + width])
        black = plan.picture.lead and first == 0
        if not counted and not black:
            continue
        yield Chunk(
            number=number,
            start=first * settings.segment_seconds,
            end=None if is_last else (first + width) * settings.segment_seconds,
        )
        number += 1
