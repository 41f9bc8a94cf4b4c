"""Jobs that only a message can bring to a worker, told apart from all others, and published again."""

from __future__ import annotations

import pytest

from jobkit.model.envelope import Envelope
from jobkit.model.partition import Partition, partition_of
from jobkit.ports import rules
from jobkit.ports.adrift import Adrift
from jobkit.ports.store import Gap
from jobkit.testing.conformance.harness import FullStore, Harness
from jobkit.testing.conformance.values import buried, committed, failure, fence, opened, submitted, unordered

ONLY = Partition("t", 0)


async def publish_all(store: FullStore) -> list[str]:
    """Publish the whole outbox; return the ids that were in it."""
    entries = await store.outbox(older_than=-1, limit=1_000)
    await store.published([entry.position for entry in entries])
    return [entry.envelope.id for entry in entries]


async def all_adrift(
    store: FullStore, partition: Partition = ONLY, partitions: int = 1, limit: int = 100
) -> list[Adrift]:
    found: list[Adrift] = []
    after: int | None = 0
    upto = await store.horizon()
    while after is not None:
        page, after = await store.adrift(partition, partitions, after=after, upto=upto, limit=limit)
        assert len(page) <= 2 * limit
        found += page
    return found


def ids(found: list[Adrift]) -> list[str]:
    return [job.envelope.id for job in found]


async def test_a_published_job_is_adrift_until_it_ends_and_comes_whole(store: FullStore) -> None:
    job = await submitted(store, "a")
    assert await all_adrift(store) == []
    await publish_all(store)
    (lost,) = await all_adrift(store)
    assert (lost.envelope, lost.running, lost.owner) == (job, False, None)
    under = await opened(store, job, fence(owner="me"))
    (running,) = await all_adrift(store)
    assert (running.number, running.running, running.owner) == (lost.number, True, "me")
    await committed(store, job, under=under)
    assert await all_adrift(store) == []


async def test_what_the_store_brings_to_a_worker_is_not_adrift(store: FullStore) -> None:
    parked, shelved, dead = [await unordered(store, id, key=id) for id in ("parked", "shelved", "dead")]
    _, behind = await submitted(store, "waits for nobody", key="o"), await submitted(store, "behind", key="o")
    await publish_all(store)
    await store.shelve(shelved, ONLY)
    await buried(store, dead)
    assert isinstance(await store.open(behind, fence()), Gap)
    await store.park(behind, reason="gap")
    await unordered(store, "in the outbox", key="x")
    assert ids(await all_adrift(store)) == [parked.id, "waits for nobody"]


async def test_jobs_adrift_are_paged_in_the_order_of_their_acceptance(store: FullStore) -> None:
    jobs = [await unordered(store, f"j{number:02}", key=f"k{number}") for number in range(30)]
    await publish_all(store)
    for job in jobs[::3]:
        await opened(store, job)
    for limit in (1, 7, 100):
        assert ids(await all_adrift(store, limit=limit)) == [job.id for job in jobs]


async def test_a_partition_has_its_own(store: FullStore) -> None:
    for number in range(20):
        await unordered(store, f"j{number}", key=f"k{number}")
        await unordered(store, f"u{number}", key=f"k{number}", type="u")
    await publish_all(store)
    for index in range(3):
        wanted = [f"j{number}" for number in range(20) if partition_of(f"k{number}", 3) == index]
        assert ids(await all_adrift(store, Partition("t", index), 3, limit=7)) == wanted


async def test_a_job_told_to_wait_is_delayed_until_its_last_attempt_told_it_otherwise(store: FullStore) -> None:
    job = await unordered(store, "a")
    await publish_all(store)
    under = await opened(store, job)
    for attempt, wait, delayed in ((1, 0.0, False), (2, 60.0, True), (3, 0.0, False)):
        await store.fail(job, under, failure(attempt), retry_in=wait)
        assert [one.delayed for one in await all_adrift(store)] == [delayed]
    # For a person, who may know better, it is published all the same.
    assert await store.republish(["a"]) == ["a"]


async def test_a_job_told_to_wait_is_missed_when_its_message_should_long_be_back(
    store: FullStore, store_harness: Harness[FullStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rules, "KEPT_BACK_MARGIN", 0.2)
    job = await unordered(store, "a")
    await publish_all(store)
    await store.fail(job, await opened(store, job), failure(1), retry_in=0.4)
    assert [one.delayed for one in await all_adrift(store)] == [True]
    await store_harness.elapse(1.1)
    assert [one.delayed for one in await all_adrift(store)] == [False]


async def test_what_is_accepted_after_the_horizon_is_left_out(store: FullStore) -> None:
    await unordered(store, "before")
    upto = await store.horizon()
    await unordered(store, "after")
    await publish_all(store)
    page, following = await store.adrift(ONLY, 1, after=0, upto=upto, limit=10)
    assert (ids(list(page)), following) == (["before"], None)


async def test_republishing_puts_what_is_adrift_into_the_outbox_in_order_and_once(store: FullStore) -> None:
    jobs: list[Envelope] = [await submitted(store, id) for id in "abc"]
    await publish_all(store)
    assert await store.republish(["c", "a", "b", "a", "unknown"]) == ["a", "b", "c"]
    assert await store.republish(["a", "b", "c"]) == []
    assert [entry.envelope for entry in await store.outbox(older_than=-1, limit=10)] == jobs
    assert await all_adrift(store) == []
    await publish_all(store)
    for job in jobs:
        await committed(store, job)
    assert await publish_all(store) == []


async def test_republishing_leaves_alone_what_needs_it_not(store: FullStore) -> None:
    _, behind = await submitted(store, "a"), await submitted(store, "behind")
    shelved, dead = await unordered(store, "shelved", key="s"), await unordered(store, "dead", key="d")
    await publish_all(store)
    await store.open(behind, fence())
    await store.park(behind, reason="gap")
    await store.shelve(shelved, ONLY)
    await buried(store, dead)
    assert await store.republish(["behind", "shelved", "dead"]) == []
    assert await publish_all(store) == []
    assert await store.republish([]) == []
