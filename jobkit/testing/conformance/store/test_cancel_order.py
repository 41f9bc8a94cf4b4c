"""Cancelling on an ordered key: it goes on behind the cancelled job, and leaves no gap."""

from __future__ import annotations

from jobkit.ports.inspection import JobState
from jobkit.ports.store import Conflict, Gap, Opened
from jobkit.testing.conformance.harness import FullStore
from jobkit.testing.conformance.values import (
    buried,
    cancel,
    committed,
    envelope,
    fence,
    opened,
    outbox_ids,
    published,
    submitted,
)


async def test_the_key_goes_on_behind_a_cancelled_job(store: FullStore) -> None:
    await submitted(store, "a")
    b = await submitted(store, "b")
    await cancel(store, "a")
    await committed(store, b)
    key = await store.key("t", "k")
    assert key
    assert (key.submitted_sequence, key.committed_sequence) == (2, 2)


async def test_the_key_goes_on_behind_a_cancelled_job_that_ran(store: FullStore) -> None:
    a, b = await submitted(store, "a"), await submitted(store, "b")
    await opened(store, a)
    assert await store.open(b, fence()) == Gap(1, blocked=False)
    await cancel(store, "a")
    await committed(store, b)


async def test_a_job_cancelled_before_its_turn_leaves_no_gap(store: FullStore) -> None:
    a, _, _, d = [await submitted(store, id) for id in "abcd"]
    await cancel(store, "c")
    await cancel(store, "b")
    assert await store.open(d, fence()) == Gap(1, blocked=False)
    await committed(store, a)
    await committed(store, d)
    assert (await submitted(store, "e")).sequence == 5


async def test_jobs_parked_behind_a_cancelled_one_come_out(store: FullStore) -> None:
    _, b, c = [await submitted(store, id) for id in "abc"]
    await published(store)
    for job in (b, c):
        await store.park(job, reason="gap")
    await cancel(store, "a")
    assert await outbox_ids(store) == ["b", "c"]
    assert await store.gaps() == []
    await committed(store, b)
    await committed(store, c)


async def test_jobs_parked_behind_one_that_was_cancelled_before_its_turn_come_out_with_the_commit(
    store: FullStore,
) -> None:
    a, _, c = [await submitted(store, id) for id in "abc"]
    await published(store)
    await store.park(c, reason="gap")
    await cancel(store, "b")
    assert await outbox_ids(store) == []
    assert [entry.envelope.id for entry in (await committed(store, a)).outbox] == ["c"]
    await committed(store, c)


async def test_a_parked_job_can_be_cancelled(store: FullStore) -> None:
    a, b, c = [await submitted(store, id) for id in "abc"]
    await published(store)
    for job in (b, c):
        await store.park(job, reason="gap")
    await cancel(store, "b")
    assert [gap.parked for gap in await store.gaps()] == [1]
    await committed(store, a)
    await committed(store, c)
    assert await store.gaps() == []


async def test_a_job_that_waits_behind_a_dead_one_can_be_cancelled(store: FullStore) -> None:
    a, b, c = [await submitted(store, id) for id in "abc"]
    number = await buried(store, a)
    await store.park(b, reason="gap")
    await cancel(store, "b")
    assert await store.open(c, fence()) == Gap(1, blocked=True)
    assert await store.requeue_dead(number) == a
    await committed(store, a)
    await committed(store, c)


async def test_a_parked_job_whose_turn_was_skipped_brings_the_next_when_it_is_cancelled(store: FullStore) -> None:
    many = 40
    jobs = [await submitted(store, f"j{number}") for number in range(many)]
    await published(store)
    for job in jobs[1:]:
        await store.park(job, reason="gap")
    await store.skip_gap("t", "k", before=many + 1)
    while ids := await outbox_ids(store):
        await cancel(store, *ids)
    assert (await store.counts()).jobs[JobState.CANCELLED] == many - 1


async def test_a_skip_over_cancelled_jobs_leaves_none_of_them_missing(store: FullStore) -> None:
    jobs = [await submitted(store, f"j{number}") for number in range(1, 9)]
    await cancel(store, "j3", "j6", "j7")
    assert await store.skip_gap("t", "k", before=6) == 0
    key = await store.key("t", "k")
    assert key
    assert key.committed_sequence == 7
    for number in (1, 2, 4, 5):
        assert not isinstance(await store.open(jobs[number - 1], fence()), Opened | Gap | Conflict)
    await committed(store, jobs[7])


async def test_many_of_one_key_are_cancelled_in_any_order(store: FullStore) -> None:
    jobs = [await submitted(store, f"j{number}") for number in range(1, 30)]
    for step in (3, 7, 2, 5):
        await cancel(store, *(f"j{number}" for number in range(29 - step, 1, -step)))
    await committed(store, jobs[0])
    left = [job for job in jobs[1:] if (record := await store.job(job.id)) and not record.state.ended]
    for job in left:
        await committed(store, job)


async def test_the_last_sequences_of_all_can_be_cancelled(store: FullStore) -> None:
    far = envelope("foreign", sequence=2**63 - 1)
    assert isinstance(await store.open(far, fence()), Gap)
    assert [answer.cancelled for answer in await cancel(store, "foreign")] == [True]
    job = await submitted(store, "a")
    assert job.sequence == 1
    await committed(store, job)
