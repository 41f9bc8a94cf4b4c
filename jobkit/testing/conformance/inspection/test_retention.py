"""Forgetting: deduplication is bounded, and no mark is ever lowered by it."""

from __future__ import annotations

from jobkit.model.partition import Partition
from jobkit.ports.inspection import JobState
from jobkit.ports.store import Committed, Duplicate, Effects, Gap, LogEntry, Opened, Refused, Stale
from jobkit.testing.conformance.harness import FullStore, Harness
from jobkit.testing.conformance.values import NOTHING, buried, committed, envelope, fence, opened, submitted, unordered

MANY = 10**9


async def ids(store: FullStore) -> set[str]:
    return {job.id for job in await store.jobs(limit=10_000)}


async def test_committed_jobs_go_once_they_are_old_enough(store: FullStore, store_harness: Harness[FullStore]) -> None:
    ttl = store_harness.ttl
    await committed(store, await unordered(store, "old"))
    await store_harness.elapse(ttl * 0.6)
    await committed(store, await unordered(store, "young"))
    assert await store.prune(older_than=ttl, keep_at_most=MANY) == 0
    await store_harness.elapse(ttl * 0.6)
    assert await store.prune(older_than=ttl, keep_at_most=MANY) == 1
    assert await ids(store) == {"young"}
    assert (await store.counts()).jobs[JobState.COMMITTED] == 1


async def test_the_oldest_committed_jobs_go_when_there_are_too_many(store: FullStore) -> None:
    for number in range(10):
        await committed(store, await unordered(store, f"j{number}"))
    assert await store.prune(older_than=MANY, keep_at_most=4, batch=3) == 3
    assert await ids(store) == {f"j{number}" for number in range(3, 10)}
    assert await store.prune(older_than=MANY, keep_at_most=4) == 3
    assert await store.prune(older_than=MANY, keep_at_most=4) == 0
    assert await ids(store) == {"j6", "j7", "j8", "j9"}


async def test_only_committed_jobs_are_forgotten(store: FullStore, store_harness: Harness[FullStore]) -> None:
    a, b = await submitted(store, "waiting-for"), await submitted(store, "parked")
    await store.open(b, fence())
    await store.park(b, reason="gap")
    await opened(store, await unordered(store, "running"))
    await buried(store, await unordered(store, "dead"))
    await unordered(store, "queued")
    before = await ids(store)
    await store_harness.elapse(store_harness.ttl)
    assert await store.prune(older_than=0, keep_at_most=0) == 0
    assert await ids(store) == before
    assert [entry.id for entry in await store.dead()] == ["dead"]
    await committed(store, a)


async def test_what_was_forgotten_of_an_ordered_key_is_still_a_duplicate(
    store: FullStore, store_harness: Harness[FullStore]
) -> None:
    a, b = await submitted(store, "a"), await submitted(store, "b")
    await committed(store, a)
    await store_harness.elapse(1.0)
    assert await store.prune(older_than=0, keep_at_most=MANY) == 1
    assert await store.job("a") is None
    await store.shelve(a, Partition("t", 0))
    assert isinstance(await store.open(a, fence()), Duplicate)
    assert await store.shelved(Partition("t", 0), limit=10) == []
    await committed(store, b)


async def test_the_truth_of_a_key_is_kept_however_idle_it_is(
    store: FullStore, store_harness: Harness[FullStore]
) -> None:
    await committed(store, await submitted(store, "a", key="ordered"))
    await committed(store, await unordered(store, "b", key="logged"), Effects(entries=[LogEntry("x", b"1")]))
    await committed(store, await unordered(store, "c", key="recorded"), Effects(records={"x": b"1"}))
    before = await store.keys()
    await store_harness.elapse(store_harness.ttl)
    assert await store.prune(older_than=0, keep_at_most=0) == 3
    assert await store.keys() == before
    assert (await submitted(store, "d", key="ordered")).sequence == 2
    assert await store.record("t", "recorded", "x") == b"1"


async def test_marks_of_idle_keys_go_and_become_the_floor(store: FullStore, store_harness: Harness[FullStore]) -> None:
    ttl = store_harness.ttl
    for number, token in enumerate((500, 900, 700)):
        await committed(store, await unordered(store, f"j{number}", key=f"k{number}"), under=fence(token))
    await store_harness.elapse(ttl)
    await store.prune(older_than=ttl / 2, keep_at_most=MANY)
    assert await store.keys() == []
    assert (await store.counts()).keys == 0
    for key in ("k0", "k1", "never seen"):
        job = envelope(f"again {key}", key=key)
        assert await store.open(job, fence(900)) == Stale(900)
        assert await store.commit(job, fence(500), NOTHING) == Refused(900)
        assert isinstance(await store.open(job, fence(901)), Opened)


async def test_a_mark_in_use_is_kept_so_that_its_holder_can_commit(
    store: FullStore, store_harness: Harness[FullStore]
) -> None:
    job = await unordered(store, "a")
    under = await opened(store, job)
    await store_harness.elapse(store_harness.ttl * 100)
    await store.prune(older_than=store_harness.ttl, keep_at_most=MANY)
    assert isinstance(await store.commit(job, under, NOTHING), Committed)


async def test_a_mark_used_lately_is_kept(store: FullStore, store_harness: Harness[FullStore]) -> None:
    ttl = store_harness.ttl
    await committed(store, await unordered(store, "a"))
    await store_harness.elapse(ttl)
    await committed(store, await unordered(store, "b"))
    await store_harness.elapse(ttl / 2)
    await store.prune(older_than=ttl, keep_at_most=MANY)
    assert len(await store.keys()) == 1
    assert await ids(store) == {"b"}


async def test_every_idle_key_has_its_turn_however_many_there_are(
    store: FullStore, store_harness: Harness[FullStore]
) -> None:
    for number in range(60):
        await committed(store, await unordered(store, f"j{number}", key=f"k{number:02}"))
        if number % 3 == 0:
            await submitted(store, f"s{number}", key=f"k{number:02}")
    await store_harness.elapse(store_harness.ttl)
    for _ in range(60):
        await store.prune(older_than=0, keep_at_most=MANY, batch=2)
    assert [key.key for key in await store.keys()] == [f"k{number:02}" for number in range(0, 60, 3)]


async def test_an_unordered_job_comes_again_after_it_was_forgotten(
    store: FullStore, store_harness: Harness[FullStore]
) -> None:
    """Deduplication is bounded: this is the bound."""
    job = await unordered(store, "a")
    await committed(store, job)
    await store_harness.elapse(store_harness.ttl)
    await store.prune(older_than=0, keep_at_most=MANY)
    assert isinstance(await store.open(job, fence()), Opened)


async def test_a_dead_job_is_forgotten_in_its_turn_once_its_letter_was_purged(
    store: FullStore, store_harness: Harness[FullStore]
) -> None:
    ttl = store_harness.ttl
    number = await buried(store, await unordered(store, "a"))
    await store_harness.elapse(ttl * 2)
    assert await store.prune(older_than=ttl, keep_at_most=MANY) == 0
    assert await store.purge_dead(number)
    await store_harness.elapse(ttl * 0.6)
    assert await store.prune(older_than=ttl, keep_at_most=MANY) == 0
    await store_harness.elapse(ttl * 0.6)
    assert await store.prune(older_than=ttl, keep_at_most=MANY) == 1
    assert await ids(store) == set()
    assert (await store.counts()).jobs[JobState.DEAD] == 0


async def test_purged_jobs_count_among_those_that_are_kept_at_most(store: FullStore) -> None:
    for number in range(6):
        job = await unordered(store, f"j{number}", key=f"k{number}")
        if number % 2:
            await committed(store, job)
        else:
            await store.purge_dead(await buried(store, job))
    assert await store.prune(older_than=MANY, keep_at_most=4) == 2
    assert await ids(store) == {f"j{number}" for number in range(2, 6)}
    counts = (await store.counts()).jobs
    assert (counts[JobState.COMMITTED], counts[JobState.DEAD]) == (2, 2)


async def test_a_purged_job_that_holds_its_key_up_is_not_forgotten(
    store: FullStore, store_harness: Harness[FullStore]
) -> None:
    a, b = await submitted(store, "a"), await submitted(store, "b")
    await store.purge_dead(await buried(store, a))
    await store_harness.elapse(store_harness.ttl)
    assert await store.prune(older_than=0, keep_at_most=0) == 0
    assert await store.open(b, fence()) == Gap(1, blocked=True)
    await store.skip_gap("t", "k", before=2)
    await store_harness.elapse(store_harness.ttl)
    assert await store.prune(older_than=0, keep_at_most=0) == 1
    await committed(store, b)


async def test_a_message_that_nobody_confirmed_never_makes_a_forgotten_job_commit_again(
    store: FullStore, store_harness: Harness[FullStore]
) -> None:
    """The relay reads what it publishes in the outbox: what has ended is no longer there, whatever is forgotten."""
    job = await unordered(store, "a")
    await store.shelve(job, Partition("t", 0))
    await committed(store, job)
    await store_harness.elapse(store_harness.ttl)
    await store.prune(older_than=0, keep_at_most=0)
    assert await store.outbox(older_than=-1, limit=10) == []
    assert await store.shelved(Partition("t", 0), limit=10) == []
