"""Sweeping, on each store: what may still become visible stays, whatever else goes on; what cannot goes."""

from __future__ import annotations

import itertools
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import anyio
import pytest

from conformance.sweep.sweeping import LONG, finished, garbage, left, planes, written
from jobkit.backends.local_files.blobs import LocalFileBlobs
from jobkit.model.blob_location import keyed
from jobkit.model.fence import Fence
from jobkit.ops.blob_garbage import Kind, sweep
from jobkit.ports.blobs import Blobs, Leftover, StoredObject
from jobkit.ports.store import Committed, Effects, Opened
from jobkit.testing.conformance.harness import FullStore, Harness
from jobkit.testing.conformance.values import buried, fence, opened, submitted, unordered


async def test_a_manifest_keeps_its_files_and_a_replaced_one_does_not(store: FullStore, files: LocalFileBlobs) -> None:
    refs = []
    for id in ("a", "b"):
        job = await submitted(store, id)
        under = await opened(store, job)
        refs.append(await written(files, under))
        await finished(store, job, under, refs[-1])
    swept = await sweep(planes(store, files), remove=True)
    assert await left(files) == {refs[1].location}
    assert swept.garbage["t", Kind.OBJECT].bytes == 10
    assert (garbage(swept), swept.kept.count, swept.read) == (1, 1, 2)


async def test_nothing_is_removed_unless_that_is_asked_for(store: FullStore, files: LocalFileBlobs) -> None:
    job = await submitted(store, "a")
    stale = await opened(store, job)
    await written(files, stale)
    await opened(store, job)
    assert garbage(await sweep(planes(store, files))) == 1
    assert len(await left(files)) == 1
    assert garbage(await sweep(planes(store, files), remove=True)) == 1
    assert await left(files) == set()


async def test_what_a_running_attempt_wrote_stays_and_that_of_the_one_before_it_goes(
    store: FullStore, files: LocalFileBlobs
) -> None:
    job = await submitted(store, "a")
    before = await opened(store, job)
    lost = await written(files, before)
    under = await opened(store, job)
    mine = await written(files, under)
    failed = await written(files, under, attempt=2)
    await sweep(planes(store, files), remove=True)
    assert await left(files) == {mine.location, failed.location}
    assert lost.location not in await left(files)
    await finished(store, job, under, failed)
    # The job has ended, so what its first attempt wrote is of no use, though the key's mark has not moved on.
    await sweep(planes(store, files), remove=True)
    assert await left(files) == {failed.location}


@pytest.mark.parametrize("ordered", [True, False])
async def test_what_a_job_wrote_that_died_goes(store: FullStore, files: LocalFileBlobs, ordered: bool) -> None:
    job = await (submitted if ordered else unordered)(store, "a")
    under = await opened(store, job)
    await written(files, under)
    await store.bury(job, under, reason="hopeless")
    assert garbage(await sweep(planes(store, files), remove=True)) == 1
    assert await left(files) == set()


async def test_a_requeued_job_keeps_what_it_writes_then(store: FullStore, files: LocalFileBlobs) -> None:
    job = await submitted(store, "a")
    number = await buried(store, job)
    await store.requeue_dead(number)
    under = await opened(store, job)
    mine = await written(files, under)
    await sweep(planes(store, files), remove=True)
    assert await left(files) == {mine.location}


async def test_another_nonce_of_the_same_token_is_garbage(store: FullStore, files: LocalFileBlobs) -> None:
    job = await submitted(store, "a")
    under = await opened(store, job)
    mine = await written(files, under)
    await written(files, Fence(under.token, "other", "me"))
    await sweep(planes(store, files), remove=True)
    assert await left(files) == {mine.location}


async def test_what_lies_above_the_mark_stays(store: FullStore, files: LocalFileBlobs) -> None:
    under = await opened(store, await submitted(store, "a"))
    early = await written(files, Fence(under.token + 1, "next", "me"))
    assert (await sweep(planes(store, files), remove=True)).kept.count == 1
    assert await left(files) == {early.location}


async def test_keys_that_the_store_does_not_know_are_kept_unless_that_is_asked_for(
    store: FullStore, files: LocalFileBlobs
) -> None:
    await written(files, fence(), key="gone")
    await written(files, fence(), key=LONG)
    swept = await sweep(planes(store, files), remove=True)
    assert (garbage(swept), swept.unknown.count, len(await left(files))) == (0, 2, 2)
    assert garbage(await sweep(planes(store, files), remove=True, unknown_keys=True)) == 2
    assert await left(files) == set()


class _Meanwhile:
    """Blobs with which something happens after they were listed, or before one is deleted."""

    def __init__(self, blobs: Blobs, then: Callable[[], Any]) -> None:
        self._blobs, self._then = blobs, then

    def __getattr__(self, name: str) -> Any:
        return getattr(self._blobs, name)

    async def objects(self) -> AsyncIterator[StoredObject]:
        found = [stored async for stored in self._blobs.objects()]
        await self._then()
        for stored in found:
            yield stored


async def test_a_commit_after_the_listing_is_not_missed(store: FullStore, files: LocalFileBlobs) -> None:
    job = await submitted(store, "a")
    under = await opened(store, job)
    ref = await written(files, under)

    async def commit() -> None:
        await finished(store, job, under, ref)

    await sweep(planes(store, cast(Any, _Meanwhile(files, commit))), remove=True)
    assert await left(files) == {ref.location}


class _SlowToTell:
    """A store that is committed to between two questions about a key."""

    def __init__(self, store: FullStore, then: Callable[[], Any]) -> None:
        self._store, self._then = store, then

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def key(self, type: str, key: str) -> Any:
        answer = await self._store.key(type, key)
        await self._then()
        return answer


async def test_a_commit_between_two_questions_to_the_store_is_not_missed(
    store: FullStore, files: LocalFileBlobs
) -> None:
    job = await submitted(store, "a")
    under = await opened(store, job)
    ref = await written(files, under)

    async def commit() -> None:
        await finished(store, job, under, ref)

    told = cast(FullStore, _SlowToTell(store, commit))
    await sweep(planes(told, files), remove=True)
    assert await left(files) == {ref.location}


async def test_no_visible_file_is_ever_removed_while_jobs_run(
    store_harness: Harness[FullStore], files: LocalFileBlobs
) -> None:
    """Invariant nothing-lost: workers that are overtaken, fail and commit, beside sweepers that never pause."""
    rng = random.Random(4)
    tokens = itertools.count(1)
    async with store_harness.process() as store, store_harness.process() as other:

        async def work(key: str, number: int) -> None:
            job = await submitted(store, f"{key}-{number}", key=key)
            while True:
                under = fence(next(tokens))
                if not isinstance(await store.open(job, under), Opened):
                    return
                refs = [await written(files, under, name, key=key, attempt=1) for name in ("a", "b")]
                if rng.random() < 0.5:
                    continue  # overtaken, by itself
                assert isinstance(await store.commit(job, under, Effects(blobs=refs)), Committed)
                for ref in refs:
                    assert b"".join([chunk async for chunk in files.read(ref.location)]) == b"ten bytes."
                return

        async def works(key: str) -> None:
            for number in range(6):
                await work(key, number)

        async def sweeps(scope: anyio.CancelScope) -> None:
            with scope:
                while True:
                    await sweep(planes(other, files), remove=True)

        scope = anyio.CancelScope()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(sweeps, scope)
            async with anyio.create_task_group() as workers:
                for key in ("k1", "k2", "k3", "k4"):
                    workers.start_soon(works, key)
            scope.cancel()
        await sweep(planes(other, files), remove=True)
        manifests = [record.manifest for record in await store.keys()]
    assert {ref.location for manifest in manifests for ref in manifest} == await left(files)
    assert len(manifests) == 4


async def test_scratch_of_a_dead_process_goes(store: FullStore, tmp_path: Path) -> None:
    directory = tmp_path / "blobs"
    async with _abandoned(directory):
        blobs = LocalFileBlobs(directory)
        await blobs.start()
        swept = await sweep(planes(store, blobs))
        assert swept.garbage[None, Kind.SCRATCH].bytes == 4
        await sweep(planes(store, blobs), remove=True)
        assert list((directory / ".scratch").iterdir()) == []
        await blobs.aclose()


@asynccontextmanager
async def _abandoned(directory: Path) -> AsyncIterator[None]:
    """Leave what a killed process leaves: a lock that nobody holds, and a directory beside it."""
    gone = directory / ".scratch" / "1-dead"
    gone.mkdir(parents=True)
    gone.with_name("1-dead.lock").touch()
    (gone / "half").write_bytes(b"half")
    yield


async def test_an_unfinished_write_is_judged_by_where_it_was_bound_for(store: FullStore, files: LocalFileBlobs) -> None:
    job = await submitted(store, "a")
    stale = await opened(store, job)
    under = await opened(store, job)
    bound = [f"{keyed('t', 'k')}/{held.token}-{held.nonce}.1/x" for held in (stale, under)]
    unfinished = _Unfinished(files, [Leftover(location, f"upload to {location}", 7) for location in bound])
    swept = await sweep(planes(store, cast(Any, unfinished)), remove=True)
    assert unfinished.discarded == [f"upload to {bound[0]}"]
    assert (swept.garbage["t", Kind.UPLOAD].bytes, swept.kept.count) == (7, 1)


class _Unfinished:
    def __init__(self, blobs: Blobs, leftovers: list[Leftover]) -> None:
        self._blobs, self._leftovers = blobs, leftovers
        self.discarded: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._blobs, name)

    async def leftovers(self) -> AsyncIterator[Leftover]:
        for leftover in self._leftovers:
            yield leftover

    async def discard(self, leftovers: list[Leftover]) -> None:
        self.discarded += [leftover.handle for leftover in leftovers]


async def test_more_unended_jobs_than_can_be_looked_at_keep_everything(
    store: FullStore, files: LocalFileBlobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobkit.ops.blob_garbage._PAGE", 2)
    first = await submitted(store, "a")
    under = await opened(store, first)
    ref = await written(files, under)
    for id in ("b", "c"):
        await submitted(store, id)
    await store.bury(first, under, reason="hopeless")
    await sweep(planes(store, files), remove=True)
    assert await left(files) == {ref.location}
