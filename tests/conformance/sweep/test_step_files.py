"""Sweeping, on each store: files of a finished step stay as long as any attempt may commit them."""

from __future__ import annotations

from collections.abc import Sequence

from conformance.sweep.sweeping import finished, garbage, left, planes, written
from jobkit.backends.local_files.blobs import LocalFileBlobs
from jobkit.model.blob import BlobRef
from jobkit.model.envelope import Envelope
from jobkit.model.fence import Fence
from jobkit.ops.blob_garbage import sweep
from jobkit.ports.checkpoints import Checkpoint, SaveAnswer
from jobkit.ports.inspection import KeyRecord
from jobkit.testing.conformance.harness import FullStore
from jobkit.testing.conformance.values import buried, cancel, opened, unordered


async def done(store: FullStore, job: Envelope, under: Fence, name: str, *refs: BlobRef) -> None:
    assert await store.save_checkpoint(job, under, Checkpoint(name, 1, b"1", refs)) is SaveAnswer.SAVED


async def test_files_of_steps_stay_through_attempts_and_death_and_into_the_manifest(
    store: FullStore, files: LocalFileBlobs
) -> None:
    job = await unordered(store, "a")
    first = await opened(store, job)
    kept, lost = await written(files, first, "kept"), await written(files, first, "lost")
    await done(store, job, first, "cut", kept)
    await opened(store, job)
    await sweep(planes(store, files), remove=True)
    assert await left(files) == {kept.location}
    number = await buried(store, job)
    assert garbage(await sweep(planes(store, files), remove=True, unknown_keys=True)) == 0
    await store.requeue_dead(number)
    last = await opened(store, job)
    await finished(store, job, last, kept)
    assert garbage(await sweep(planes(store, files), remove=True)) == 0
    assert await left(files) == {kept.location}
    assert lost.location != kept.location


async def test_files_of_steps_go_with_a_job_that_ends_without_them(store: FullStore, files: LocalFileBlobs) -> None:
    for id in ("cancelled", "purged", "committed"):
        job = await unordered(store, id)
        under = await opened(store, job)
        await done(store, job, under, "cut", await written(files, under, id))
        if id == "cancelled":
            await cancel(store, id)
        elif id == "purged":
            await store.purge_dead(await buried(store, job))
        else:
            await finished(store, job, under)
    await sweep(planes(store, files), remove=True)
    assert await left(files) == set()


class Moving:
    """A store in which, between two looks at a key, a step is kept and another attempt begins."""

    def __init__(self, store: FullStore, job: Envelope, under: Fence, kept: BlobRef) -> None:
        self._store, self._move = store, (job, under, kept)
        self.looks = 0

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    async def step_files(
        self, type: str, key: str, *, after: str = "", limit: int = 100
    ) -> tuple[Sequence[BlobRef], str | None]:
        found = await self._store.step_files(type, key, after=after, limit=limit)
        job, under, kept = self._move
        await done(self._store, job, under, "late", kept)
        await opened(self._store, job)
        return found

    async def key(self, type: str, key: str) -> KeyRecord | None:
        self.looks += 1
        return await self._store.key(type, key)


async def test_a_step_that_is_kept_while_the_sweep_looks_keeps_its_files(
    store: FullStore, files: LocalFileBlobs
) -> None:
    job = await unordered(store, "a")
    before = await opened(store, job)
    stale = await written(files, before, "stale")
    under = await opened(store, job)
    kept = await written(files, under, "late")
    moving = Moving(store, job, under, kept)
    await sweep(planes(moving, files), remove=True)  # type: ignore[arg-type]
    assert moving.looks >= 2
    assert await left(files) == {kept.location}
    assert stale.location not in await left(files)
