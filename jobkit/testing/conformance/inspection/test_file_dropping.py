"""Having a key have no files any more: only where it has just these, and nobody is at work who may keep them."""

from __future__ import annotations

from dataclasses import replace

from jobkit.model.blob import BlobRef
from jobkit.ports.store import Committed, Effects
from jobkit.testing.conformance.harness import FullStore, Harness
from jobkit.testing.conformance.values import NOTHING, committed, opened, submitted, unordered

MANY = 10**9


def file(name: str, job: str) -> BlobRef:
    return BlobRef(name, f"t/k/1-nonce/{name}", 5, "ab" * 32, job)


async def files(store: FullStore, key: str = "k") -> tuple[BlobRef, ...]:
    record = await store.key("t", key)
    assert record is not None
    return record.manifest


async def test_the_files_of_one_key_leave_its_manifest_and_the_rest_of_it_stays(store: FullStore) -> None:
    written = (file("é.mp4", "a"), file("b.mp4", "a"))
    for key in ("k", "other"):
        job = await submitted(store, f"a {key}", key=key)
        await committed(store, job, Effects(blobs=written, records={"r": b"1"}))
    before = await store.key("t", "k")
    assert before is not None
    assert await store.drop_files("t", "k", written) is True
    assert await store.key("t", "k") == replace(before, manifest=())
    assert await store.record("t", "k", "r") == b"1"
    assert await files(store, "other") == written
    assert await store.drop_files("t", "k", written) is False


async def test_other_files_than_those_are_left_alone(store: FullStore) -> None:
    first, second = (file("a.mp4", "a"),), (file("a.mp4", "b"),)
    await committed(store, await unordered(store, "a"), Effects(blobs=first))
    await committed(store, await unordered(store, "b"), Effects(blobs=second))
    assert await store.drop_files("t", "k", first) is False
    assert await store.drop_files("t", "k", (*second, *first)) is False
    assert await store.drop_files("t", "nosuch", first) is False
    assert await files(store) == second


async def test_nothing_goes_while_a_job_is_at_work_that_may_keep_them(store: FullStore) -> None:
    first, both = (file("a.mp4", "a"),), (file("a.mp4", "a"), file("b.mp4", "b"))
    await committed(store, await unordered(store, "a"), Effects(blobs=first))
    adding = await unordered(store, "b")
    under = await opened(store, adding)
    assert await store.drop_files("t", "k", first) is False
    assert isinstance(await store.commit(adding, under, Effects(blobs=both)), Committed)
    assert await files(store) == both
    assert await store.drop_files("t", "k", both) is True


async def test_files_come_again_with_the_next_commit(store: FullStore) -> None:
    first, second = (file("a.mp4", "a"),), (file("a.mp4", "b"),)
    await committed(store, await unordered(store, "a"), Effects(blobs=first))
    assert await store.drop_files("t", "k", first) is True
    await committed(store, await unordered(store, "b"), NOTHING)
    assert await files(store) == ()
    await committed(store, await unordered(store, "c"), Effects(blobs=second))
    assert await files(store) == second


async def test_a_key_that_has_no_other_truth_is_forgotten_but_not_before_its_time(
    store: FullStore, store_harness: Harness[FullStore]
) -> None:
    ttl, written = store_harness.ttl, (file("a.mp4", "a"),)
    await committed(store, await unordered(store, "a"), Effects(blobs=written))
    await store_harness.elapse(ttl)
    assert await store.drop_files("t", "k", written) is True
    await store.prune(older_than=ttl * 0.8, keep_at_most=MANY)
    assert await files(store) == ()
    await store_harness.elapse(ttl)
    await store.prune(older_than=ttl * 0.8, keep_at_most=MANY)
    assert await store.key("t", "k") is None
