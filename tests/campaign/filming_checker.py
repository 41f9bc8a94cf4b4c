"""What is wrong with films that were made in chunks: read from what was committed, and from the pictures themselves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import anyio
from anyio import to_thread

from jobkit.client import Client
from jobkit.model.blob import BlobRef
from jobkit.model.blob_location import place_of
from jobkit.ops.verify import Violation
from jobkit.ports.inspection import Inspection, JobRecord, JobState
from tests.campaign.filming import CHUNK, FILM, PARTS, PICTURES, SIDE, Filmed
from tests.media.numbered import shown

_MOST = 1_000


async def filming_findings(client: Client, inspection: Inspection, told: Filmed, folder: Path) -> list[Violation]:
    """Return all that is wrong; films are downloaded to `folder`. Raises `Unavailable`."""
    found: list[Violation] = []
    for id in told.films:
        film = await inspection.job(id)
        wanted = JobState.CANCELLED if id in told.cancelled else JobState.COMMITTED
        if film is None or film.state is not wanted:
            found.append(Violation("nothing-lost", id, f"is {None if film is None else film.state}, not {wanted}"))
            continue
        key = await inspection.key(FILM, id)
        files = () if key is None else key.manifest
        entries = [entry.job_id for entry in await inspection.log(FILM, id, limit=_MOST)]
        found += effects(film, files, entries)
        chunks = [await client.status(member.id) async for member in client.members(id)]
        found += parts(film, chunks)
        for chunk in chunks:
            made = await inspection.key(CHUNK, chunk.key)
            found += one_fence(chunk, () if made is None else made.manifest)
        if film.state is JobState.COMMITTED:
            target = folder / f"{id}.mp4"
            await client.download(FILM, id, f"{SIDE}p.mp4", target)
            found += pictures(id, [one.number for one in await to_thread.run_sync(shown, target)])
            await anyio.Path(target).unlink()
    return found


def effects(film: JobRecord, files: Sequence[BlobRef], entries: Sequence[str]) -> Iterator[Violation]:
    """A film that has committed took effect once, by all of its files; one that was cancelled took none."""
    wanted = [film.id] if film.state is JobState.COMMITTED else []
    if list(entries) != wanted:
        yield Violation("single-effect", film.id, f"is {film.state}, and took effect by {list(entries)}")
    if bool(files) != bool(wanted):
        yield Violation("single-effect", film.id, f"is {film.state}, and has {len(files)} files")
    yield from one_fence(film, files)


def parts(film: JobRecord, chunks: Sequence[JobRecord]) -> Iterator[Violation]:
    """A film was split into what it was to be split into, once, and made of chunks that have all committed."""
    names = sorted(chunk.key.rpartition("/")[2] for chunk in chunks)
    if names != sorted(PARTS) and (names or film.state is JobState.COMMITTED):
        yield Violation("single-effect", film.id, f"was split into {names}")
    for chunk in chunks:
        if chunk.state is not JobState.COMMITTED and film.state is JobState.COMMITTED:
            yield Violation("groups", chunk.id, f"is {chunk.state}, and its film was put together")
        if not chunk.state.ended:
            yield Violation("groups", chunk.id, f"is {chunk.state}, and its film {film.state}")


def one_fence(job: JobRecord, files: Sequence[BlobRef]) -> Iterator[Violation]:
    """The files of a job are those of the one attempt that has committed."""
    places = [place_of(file.location) for file in files]
    fences = {None if place is None else (place.token, place.nonce) for place in places}
    if len(fences) > 1 or any(fence is None or fence[0] != job.token for fence in fences):
        yield Violation("fencing", job.id, f"committed under {job.token}, with files of {fences}")
    if writers := {file.job_id for file in files} - {job.id}:
        yield Violation("fencing", job.id, f"has files of {sorted(writers)}")


def pictures(id: str, numbers: Sequence[int]) -> Iterator[Violation]:
    """A film has each picture of its source, once, in order."""
    if list(numbers) != list(range(PICTURES)):
        wrong = next((at for at, number in enumerate(numbers) if at != number), len(numbers))
        yield Violation(
            "order", id, f"has {len(numbers)} pictures, from number {wrong} on {numbers[wrong : wrong + 5]}"
        )
