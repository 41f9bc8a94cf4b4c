"""A long video on many workers: its job hands chunks out, waits for them, and puts together what came of them.

The job that was submitted is the one that commits, under its own key: whoever waits for it sees no difference but how
soon it is done. What it has planned is kept, so that an attempt that follows another one goes on where that was.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import anyio

from jobkit import Reject, Result
from workers.transcode import progress
from workers.transcode.child import child_command
from workers.transcode.chunk_payload import EncodedChunk, TranscodeChunk
from workers.transcode.chunk_plan import Chunk, chunk_plan, may_be_split, sound_plan
from workers.transcode.errors import OutputInvalid, OutputUnfit, PackagingFailed
from workers.transcode.job_tools import Bench
from workers.transcode.media import Media
from workers.transcode.output_problems import WHAT_TO_DO
from workers.transcode.payload import Transcode
from workers.transcode.plan import SOUND_FILE, TranscodePlan, rendition_file
from workers.transcode.settings import TranscodeSettings
from workers.transcode.source import OpenSource

__all__ = ["Split", "hand_out", "join_chunks", "make_split", "may_be_split"]

_CHUNK = "transcode.chunk"


class Split(Result):
    """What a job knows of the source that it has split, and what it is to become: all that its later attempts need."""

    media: Media
    size: int
    modified: int
    plan: TranscodePlan
    chunks: tuple[Chunk, ...]
    segment_seconds: float

    def over(self, settings: TranscodeSettings) -> TranscodeSettings:
        """Return a worker's settings with what was planned by."""
        return settings.model_copy(update={"segment_seconds": self.segment_seconds})


@dataclass(frozen=True, slots=True)
class _Encoded:
    """A part that was encoded, and where its files are."""

    type: str
    key: str
    made: EncodedChunk


def make_split(
    source: OpenSource, media: Media, plan: TranscodePlan, chunks: Sequence[Chunk], settings: TranscodeSettings
) -> Split:
    """Return what is kept of a plan."""
    return Split(
        media=media,
        size=source.size,
        modified=source.modified,
        plan=plan,
        chunks=tuple(chunks),
        segment_seconds=settings.segment_seconds,
    )


async def hand_out(bench: Bench, job: Transcode, split: Split, lowest: Transcode | None = None) -> None:
    """Have the chunks encoded by whoever serves them; this attempt ends here, and a later one goes on behind it.

    `lowest` is a job that is to be done before them.
    """
    bench.ctx.log.info("splitting", chunks=len(split.chunks))
    await bench.ctx.checkpoint(split)
    await _await_chunks(bench, job, split, lowest)


async def _await_chunks(bench: Bench, job: Transcode, split: Split, lowest: Transcode | None = None) -> None:
    parts = _parts(bench.ctx.job.id, job, split)
    members = [] if lowest is None else [bench.ctx.new_job("transcode", lowest)]
    members += [bench.ctx.new_job(_CHUNK, part) for part in parts]
    # Of those that fail this job tells which, and why it cannot go on.
    await bench.ctx.await_group(members, on_failure="run", until=progress.JOIN.start, message="encoding in chunks")


def _parts(parent: str, job: Transcode, split: Split) -> list[TranscodeChunk]:
    seconds = split.segment_seconds
    plans: list[tuple[TranscodePlan, Chunk | None]] = [
        (chunk_plan(split.plan, chunk, seconds), chunk) for chunk in split.chunks
    ]
    sound = sound_plan(split.plan)
    if sound is not None:
        plans.append((sound, None))
    return [
        TranscodeChunk(
            parent=parent,
            source=job.source,
            size=split.size,
            modified=split.modified,
            plan=plan,
            segment_seconds=split.segment_seconds,
            chunk=chunk,
        )
        for plan, chunk in plans
    ]


async def join_chunks(bench: Bench, job: Transcode, split: Split, lowest: Transcode | None = None) -> bool:
    """Make each rendition of its chunks, in the order in which they were planned.

    Returns whether the pictures are known to be those that were decoded where they were made: they are compared, but
    where an older worker left no digest of a chunk. Raises `Reject` where one could not be made, `OutputUnfit` where
    they do not fit together, `OutputInvalid`, `PackagingFailed`.
    """
    # Where this attempt follows one that ended before it had handed them out, it is done now.
    await _await_chunks(bench, job, split, lowest)
    await bench.report(progress.JOIN, 0.0)
    made = await _encoded(bench)
    await bench.require_room(2 * sum(each.made.size for each in made), "the renditions")
    pictures = made[: len(split.chunks)]
    counted = sum(each.made.pictures for each in pictures)
    if split.plan.pictures is not None and counted > split.plan.pictures:
        # Versions of ffmpeg differ in which of two chunks a picture at a joint is in, but not in that it is in one.
        raise OutputUnfit(f"its chunks have {counted} pictures, the source {split.plan.pictures}; {WHAT_TO_DO}")
    known = all(each.made.digests for each in pictures)
    for sound in made[len(split.chunks) :]:
        for name in sound.made.files:
            await _fetch(bench, sound, name, name)
    for number, rung in enumerate(split.plan.rungs):
        name = rendition_file(rung)
        parts = [f"chunk-{place}-{name}" for place in range(len(pictures))]
        for each, part in zip(pictures, parts, strict=True):
            await _fetch(bench, each, name, part)
        order = {
            "target": name,
            "sound": None if split.plan.sound is None else SOUND_FILE,
            "chunks": parts,
            "pictures": [each.made.pictures for each in pictures],
            "digests": [each.made.digests[number] for each in pictures] if known else None,
        }
        await _join(bench, order)
        for part in parts:
            await anyio.Path(bench.directory / part).unlink()
        await bench.report(progress.JOIN, (number + 1) / len(split.plan.rungs))
    return known


async def _encoded(bench: Bench) -> list[_Encoded]:
    """Return what was made, part by part, in the order of the plan. Raises `Reject` where one was not made."""
    found: list[_Encoded] = []
    lost: list[str] = []
    async for member in bench.ctx.members():
        if member.type != _CHUNK:
            # The lowest rendition, which is there by itself.
            continue
        made = member.load(EncodedChunk)
        if made is None:
            lost.append(member.id)
        else:
            found.append(_Encoded(member.type, member.key, made))
    if lost:
        raise Reject(
            f"{len(lost)} of {len(lost) + len(found)} chunks were not encoded, the first of them in job {lost[0]}: "
            f"mend the cause (jobkit dead show {lost[0]}), have those tried again, and then this job"
        )
    return found


async def _fetch(bench: Bench, chunk: _Encoded, name: str, to: str) -> None:
    files = await bench.ctx.files(chunk.type, chunk.key)
    await files.download(name, bench.directory / to)


async def _join(bench: Bench, order: Mapping[str, Any]) -> None:
    # In a file: the names of very many chunks are longer than a command line.
    file = anyio.Path(bench.directory / "join.json")
    await file.write_text(json.dumps(order))
    answers: list[dict[str, Any]] = [{}]

    def on_line(line: str) -> bool:
        try:
            answers.append(dict(json.loads(line)))
        except ValueError as error:
            raise PackagingFailed(f"the joining process said something that is no answer: {line[:200]!r}") from error
        return True

    finished = await bench.supervisor.run(
        child_command("join_child", [file.name]), cwd=bench.directory, name="the joining process", on_line=on_line
    )
    answer = answers[-1]
    if "malformed" in answer:
        problem = f"the chunks of {order['target']} do not fit together: {answer['malformed']}"
        raise OutputUnfit(f"{problem}; {WHAT_TO_DO}")
    if "damaged" in answer:
        raise OutputInvalid(f"outputs are damaged: {answer['damaged']}")
    if finished.code != 0 or "done" not in answer:
        said = answer.get("failed") or finished.stderr[-1000:] or "it gave no reason"
        raise PackagingFailed(f"the joining process ended with code {finished.code}: {said}")
