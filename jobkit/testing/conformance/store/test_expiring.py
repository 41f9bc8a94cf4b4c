"""Jobs that are only good for so long: one that has not begun in time, by the store's clock, ends and never runs."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

import pytest

from jobkit.model.envelope import Envelope
from jobkit.model.partition import Partition
from jobkit.ports.inspection import JobState
from jobkit.ports.rules import ENDED_BY_JOBKIT, EXPIRED_REASON
from jobkit.ports.store import Accepted, Duplicate, Effects, Expired, Gap, Known, NewJob, Opened
from jobkit.testing.conformance.harness import FullStore, Harness, a_moment, soon
from jobkit.testing.conformance.values import committed, envelope, failure, fence, opened, submitted, unordered

HERE = Partition("t", 0)
LONG = 3_600.0


async def limited(
    store: FullStore, id: str, within: float, *, key: str = "k", ordered: bool = True, after: float | None = None
) -> Envelope:
    """Submit a job that has to have begun within so many seconds, and return its envelope."""
    (answer,) = await store.submit([NewJob(envelope(id, key=key), ordered, after=after, expires_after=within)])
    assert isinstance(answer, Accepted)
    return answer.envelope


async def over(store: FullStore, store_harness: Harness[FullStore], id: str, *, ordered: bool = True) -> Envelope:
    """Submit a job whose time is over then, and return its envelope."""
    job = await limited(store, id, store_harness.ttl, ordered=ordered)
    await store_harness.elapse(store_harness.ttl * 1.2)
    return job


async def ended_as_expired(store: FullStore, id: str) -> None:
    record = await store.job(id)
    assert record
    assert (record.state, record.ended_by, record.reason) == (JobState.EXPIRED, ENDED_BY_JOBKIT, EXPIRED_REASON)
    assert record.finished_at is not None
    assert await store.outbox(older_than=-1, limit=10) == []
    assert (await store.adrift(HERE, 1, after=0, upto=await store.horizon(), limit=10))[0] == []
    counts = await store.counts()
    assert (counts.jobs[JobState.EXPIRED], counts.jobs[JobState.COMMITTED], counts.outbox) == (1, 0, 0)
    assert (counts.jobs[JobState.SCHEDULED], counts.jobs[JobState.QUEUED], counts.jobs[JobState.RUNNING]) == (0, 0, 0)


async def test_a_job_that_has_not_begun_in_time_is_not_opened(
    store: FullStore, store_harness: Harness[FullStore]
) -> None:
    job = await over(store, store_harness, "a")
    answer = await store.open(job, fence())
    assert isinstance(answer, Duplicate)
    assert (answer.receipt.job_id, answer.receipt.kind) == ("a", "expired")
    await ended_as_expired(store, "a")
    again = await store.open(job, fence())
    assert isinstance(again, Duplicate)
    assert again.receipt.kind == "expired"
    assert await store.expire_due(limit=10) == []


async def test_one_that_nobody_opens_is_ended_by_a_look(store: FullStore, store_harness: Harness[FullStore]) -> None:
    await over(store, store_harness, "a")
    assert await store.expire_due(limit=10) == [Expired("a", "t")]
    await ended_as_expired(store, "a")
    assert await store.expire_due(limit=10) == []


async def test_until_then_it_runs_as_any(store: FullStore, store_harness: Harness[FullStore]) -> None:
    job = await limited(store, "a", store_harness.ttl)
    record = await store.job("a")
    assert record
    assert record.expires_at is not None
    assert await store.expire_due(limit=10) == []
    under = await opened(store, job)
    record = await store.job("a")
    assert record
    assert record.expires_at is None
    # It has begun: how long it takes, and how often it is tried, is nobody's business.
    await store_harness.elapse(store_harness.ttl * 1.2)
    assert await store.expire_due(limit=10) == []
    await store.fail(job, under, failure(1))
    await committed(store, job)


async def test_a_moment_is_kept_as_it_was_said(store: FullStore) -> None:
    at = float(round(time.time() + LONG))
    await store.submit([NewJob(envelope("a"), ordered=False, expires_at=at)])
    record = await store.job("a")
    assert record
    assert record.expires_at == at


async def test_a_moment_that_is_over_is_over(store: FullStore) -> None:
    (answer,) = await store.submit([NewJob(envelope("a"), ordered=True, expires_at=1.0)])
    assert isinstance(answer, Accepted)
    assert isinstance(await store.open(answer.envelope, fence()), Duplicate)
    await ended_as_expired(store, "a")


@pytest.mark.parametrize("by_opening", [True, False])
async def test_on_an_ordered_key_it_gives_up_its_turn(
    store: FullStore, store_harness: Harness[FullStore], by_opening: bool
) -> None:
    first = await limited(store, "a", store_harness.ttl)
    second = await submitted(store, "b")
    assert await store.open(second, fence()) == Gap(1, blocked=False)
    await store.park(second, reason="waits")
    await store_harness.elapse(store_harness.ttl * 1.2)
    if by_opening:
        await store.open(first, fence())
    else:
        await store.expire_due(limit=10)
    assert [entry.envelope.id for entry in await store.outbox(older_than=-1, limit=10)] == ["b"]
    await committed(store, second)


async def test_one_behind_a_gap_expires_too(store: FullStore, store_harness: Harness[FullStore]) -> None:
    first = await submitted(store, "a")
    second = await limited(store, "b", store_harness.ttl)
    third = await submitted(store, "c")
    await store.park(second, reason="waits")
    await store_harness.elapse(store_harness.ttl * 1.2)
    assert isinstance(await store.open(second, fence()), Duplicate)
    assert (await store.counts()).parked == 0
    await committed(store, first)
    await committed(store, third)


async def test_one_in_flight_expires_too(store: FullStore, store_harness: Harness[FullStore]) -> None:
    job = await limited(store, "a", store_harness.ttl)
    await store.shelve(job, HERE)
    await store_harness.elapse(store_harness.ttl * 1.2)
    assert [one.id for one in await store.expire_due(limit=10)] == ["a"]
    assert await store.shelved(HERE, limit=10) == []


async def test_one_that_is_not_due_yet_expires_too(store: FullStore, store_harness: Harness[FullStore]) -> None:
    await limited(store, "a", store_harness.ttl, after=LONG)
    await store_harness.elapse(store_harness.ttl * 1.2)
    assert [one.id for one in await store.expire_due(limit=10)] == ["a"]
    await ended_as_expired(store, "a")
    await store_harness.elapse(LONG)
    assert await store.release_due(limit=10) == []


async def test_one_that_was_due_in_time_runs(store: FullStore, store_harness: Harness[FullStore]) -> None:
    await limited(store, "a", LONG, after=store_harness.ttl)
    await store_harness.elapse(store_harness.ttl * 1.2)
    (entry,) = await store.release_due(limit=10)
    await committed(store, entry.envelope)


async def test_a_job_without_a_key_of_its_own_expires(store: FullStore, store_harness: Harness[FullStore]) -> None:
    await store.submit([NewJob(envelope("a", key=None), ordered=False, expires_after=store_harness.ttl)])
    await store_harness.elapse(store_harness.ttl * 1.2)
    assert isinstance(await store.open(envelope("a"), fence()), Duplicate)
    await ended_as_expired(store, "a")


async def test_a_follow_up_expires_too(store: FullStore, store_harness: Harness[FullStore]) -> None:
    follow = NewJob(envelope("b", key="other"), ordered=True, expires_after=store_harness.ttl)
    plain = NewJob(envelope("c", key="other"), ordered=True)
    job = await submitted(store, "a")
    done = await committed(store, job, Effects(follow_ups=[plain, follow]))
    await store_harness.elapse(store_harness.ttl * 1.2)
    assert [one.id for one in await store.expire_due(limit=10)] == ["b"]
    await committed(store, next(entry.envelope for entry in done.outbox if entry.envelope.id == "c"))


async def test_they_end_a_page_at_a_time_those_first_whose_time_was_over_first(
    store: FullStore, store_harness: Harness[FullStore]
) -> None:
    ttl = store_harness.ttl
    for place, share in enumerate((0.9, 0.1, 0.5, 0.3, 0.7)):
        await limited(store, f"j{place}", ttl * share, key=f"k{place}")
    await limited(store, "not yet", LONG)
    await store_harness.elapse(ttl * 1.2)
    pages = [{one.id for one in await store.expire_due(limit=2)} for _ in range(4)]
    assert pages == [{"j1", "j3"}, {"j2", "j4"}, {"j0"}, set()]


async def test_several_looks_at_once_end_each_once(store: FullStore, store_harness: Harness[FullStore]) -> None:
    for number in range(20):
        await limited(store, f"j{number}", store_harness.ttl, key=f"k{number % 3}")
    await store_harness.elapse(store_harness.ttl * 1.2)
    async with store_harness.process() as other:
        pages = await asyncio.gather(*(one.expire_due(limit=20) for one in (store, other, store, other)))
    ended = [one.id for page in pages for one in page]
    assert sorted(ended) == sorted({f"j{number}" for number in range(20)})
    assert (await store.counts()).jobs[JobState.EXPIRED] == 20


async def test_who_waits_for_it_is_told(store: FullStore, store_harness: Harness[FullStore]) -> None:
    await over(store, store_harness, "a")
    waiting = asyncio.create_task(store.wait_finished(["a"], LONG))
    await a_moment()
    await store.expire_due(limit=10)
    await soon(waiting)


async def test_submitting_it_again_changes_nothing(store: FullStore, store_harness: Harness[FullStore]) -> None:
    job = await over(store, store_harness, "a")
    await store.expire_due(limit=10)
    same = NewJob(replace(job, sequence=None), ordered=True, expires_after=LONG)
    assert await store.submit([same]) == [Known(job)]
    await ended_as_expired(store, "a")


async def test_cancelled_first_it_is_cancelled(store: FullStore, store_harness: Harness[FullStore]) -> None:
    job = await limited(store, "a", store_harness.ttl)
    await store.cancel(["a"], by="me", reason="")
    await store_harness.elapse(store_harness.ttl * 1.2)
    assert await store.expire_due(limit=10) == []
    answer = await store.open(job, fence())
    assert isinstance(answer, Duplicate)
    assert answer.receipt.kind == "cancelled"
    assert [one.id for one in await store.jobs(state=JobState.CANCELLED)] == ["a"]
    assert await store.jobs(state=JobState.EXPIRED) == []


async def test_expired_first_it_is_not_cancelled(store: FullStore, store_harness: Harness[FullStore]) -> None:
    await over(store, store_harness, "a")
    await store.expire_due(limit=10)
    (answer,) = await store.cancel(["a"], by="me", reason="")
    assert (answer.cancelled, answer.state) == (False, JobState.EXPIRED)
    await unordered(store, "b", key="b")
    await store.cancel(["b"], by="me", reason="")
    assert [one.id for one in await store.jobs(state=JobState.EXPIRED)] == ["a"]
    assert [one.id for one in await store.jobs(state=JobState.CANCELLED)] == ["b"]
    assert await store.jobs(state=JobState.DEAD) == []


async def test_buried_as_a_message_first_it_is_dead(store: FullStore, store_harness: Harness[FullStore]) -> None:
    job = await limited(store, "a", store_harness.ttl)
    await store.bury_message(job.body, job, reason="unknown")
    await store_harness.elapse(store_harness.ttl * 1.2)
    assert await store.expire_due(limit=10) == []
    record = await store.job("a")
    assert record
    assert record.state is JobState.DEAD
    (letter,) = await store.dead()
    await store.requeue_dead(letter.number)
    assert isinstance(await store.open(job, fence()), Opened)


async def test_an_expired_job_is_remembered_for_as_long_as_a_committed_one(
    store: FullStore, store_harness: Harness[FullStore]
) -> None:
    await over(store, store_harness, "a")
    await store.expire_due(limit=10)
    assert await store.prune(older_than=store_harness.ttl, keep_at_most=10**9) == 0
    await store_harness.elapse(store_harness.ttl * 1.2)
    assert await store.prune(older_than=store_harness.ttl, keep_at_most=10**9) == 1
    assert await store.job("a") is None
    counts = await store.counts()
    assert (counts.jobs[JobState.EXPIRED], counts.jobs[JobState.COMMITTED]) == (0, 0)


async def test_expired_jobs_count_among_those_that_are_kept_at_most(
    store: FullStore, store_harness: Harness[FullStore]
) -> None:
    for number in range(6):
        await limited(store, f"j{number}", store_harness.ttl, key=f"k{number}", ordered=False)
    await store_harness.elapse(store_harness.ttl * 1.2)
    await store.expire_due(limit=10)
    assert await store.prune(older_than=10**9, keep_at_most=2) == 4
    assert (await store.counts()).jobs[JobState.EXPIRED] == 2
