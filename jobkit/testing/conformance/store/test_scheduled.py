"""Jobs that are to run later: kept by the store until they are due by its clock, then released once, in that order."""

from __future__ import annotations

import asyncio
import time

import pytest

from jobkit.model.envelope import Envelope
from jobkit.model.fence import Receipt
from jobkit.model.partition import Partition
from jobkit.ports.inspection import JobState
from jobkit.ports.store import Accepted, Committed, Conflict, Duplicate, Effects, Known, NewJob, Opened, Refused
from jobkit.testing.conformance.harness import FullStore, Harness
from jobkit.testing.conformance.values import (
    committed,
    envelope,
    failure,
    fence,
    opened,
    outbox_ids,
    published,
    submitted,
    unordered,
)

HERE = Partition("t", 0)
LONG = 3_600.0


async def scheduled(
    store: FullStore, id: str, after: float = LONG, *, key: str = "k", ordered: bool = True
) -> Accepted:
    """Schedule a job and return the store's answer."""
    (answer,) = await store.submit([NewJob(envelope(id, key=key), ordered, after=after)])
    assert isinstance(answer, Accepted)
    return answer


async def released(store: FullStore, limit: int = 100) -> list[Envelope]:
    return [entry.envelope for entry in await store.release_due(limit=limit)]


async def test_a_job_that_is_not_due_is_nowhere_that_a_worker_would_find_it(store: FullStore) -> None:
    answer = await scheduled(store, "a")
    assert answer.position is None
    assert answer.envelope.sequence is None
    assert answer.due is not None
    record = await store.job("a")
    assert record
    assert record.state is JobState.SCHEDULED
    assert record.due_at == pytest.approx(answer.due, abs=0.001)
    assert await released(store) == []
    counts = await store.counts()
    assert (counts.jobs[JobState.SCHEDULED], counts.jobs[JobState.QUEUED], counts.outbox) == (1, 0, 0)
    assert await store.outbox(older_than=-1, limit=10) == []
    assert await store.republish(["a"]) == []
    assert (await store.adrift(HERE, 1, after=0, upto=await store.horizon(), limit=10))[0] == []
    assert [job.id for job in await store.jobs(state=JobState.SCHEDULED)] == ["a"]
    assert await store.jobs(type="t", state=JobState.QUEUED) == []
    assert await store.unfinished("t", JobState.SCHEDULED) == (["a"], None)
    assert await store.unfinished("t", JobState.SCHEDULED, key="k") == (["a"], None)
    assert await store.unfinished("t", JobState.QUEUED) == ([], None)


async def test_a_job_goes_to_the_outbox_once_it_is_due(store: FullStore, store_harness: Harness[FullStore]) -> None:
    await scheduled(store, "a", store_harness.ttl)
    await store_harness.elapse(store_harness.ttl * 1.2)
    (entry,) = await store.release_due(limit=10)
    assert entry.envelope.sequence == 1
    assert await store.release_due(limit=10) == []
    assert list(await store.outbox(older_than=-1, limit=10)) == [entry]
    record = await store.job("a")
    assert record
    assert (record.state, record.sequence, record.due_at) == (JobState.QUEUED, 1, None)
    counts = await store.counts()
    assert (counts.jobs[JobState.SCHEDULED], counts.jobs[JobState.QUEUED], counts.outbox) == (0, 1, 1)
    await store.published([entry.position])
    assert [job.envelope for job in (await store.adrift(HERE, 1, after=0, upto=await store.horizon(), limit=9))[0]] == [
        entry.envelope
    ]
    await committed(store, entry.envelope)


@pytest.mark.parametrize("new", [NewJob(envelope("a"), True, at=1.0), NewJob(envelope("a"), True, after=0.0)])
async def test_a_job_whose_time_is_over_is_queued_at_once(store: FullStore, new: NewJob) -> None:
    (answer,) = await store.submit([new])
    assert isinstance(answer, Accepted)
    assert (answer.envelope.sequence, answer.due) == (1, None)
    assert [entry.position for entry in await store.outbox(older_than=-1, limit=10)] == [answer.position]


async def test_a_moment_is_kept_as_it_was_said(store: FullStore) -> None:
    at = float(round(time.time() + LONG))
    (answer,) = await store.submit([NewJob(envelope("a"), ordered=False, at=at)])
    assert isinstance(answer, Accepted)
    assert answer.due == at
    record = await store.job("a")
    assert record
    assert record.due_at == at


async def test_an_ordered_job_gets_its_sequence_when_it_is_due(
    store: FullStore, store_harness: Harness[FullStore]
) -> None:
    await scheduled(store, "later", store_harness.ttl)
    first = await submitted(store, "first")
    await store_harness.elapse(store_harness.ttl * 1.2)
    second = await submitted(store, "second")
    (third,) = await released(store)
    assert (first.sequence, second.sequence, third.sequence) == (1, 2, 3)
    for job in (first, second, third):
        await committed(store, job)


async def test_what_is_due_and_not_released_is_told_of(store: FullStore, store_harness: Harness[FullStore]) -> None:
    await scheduled(store, "b", store_harness.ttl, key="b")
    await scheduled(store, "a", store_harness.ttl / 2, key="a")
    await scheduled(store, "not yet")
    assert await store.overdue() == []
    await store_harness.elapse(store_harness.ttl * 1.2)
    first, second = await store.overdue()
    assert (first.id, second.id) == ("a", "b")
    assert (first.state, second.type) == (JobState.SCHEDULED, "t")
    assert first.due_at is not None
    assert [job.id for job in await store.overdue(limit=1)] == ["a"]
    await released(store)
    assert await store.overdue() == []


async def test_they_are_released_in_the_order_in_which_they_are_due(
    store: FullStore, store_harness: Harness[FullStore]
) -> None:
    ttl = store_harness.ttl
    for place, share in enumerate((0.9, 0.1, 0.5, 0.3, 0.7)):
        await scheduled(store, f"j{place}", ttl * share)
    await scheduled(store, "not yet")
    await store_harness.elapse(ttl * 1.2)
    jobs = [*await released(store, 2), *await released(store, 2), *await released(store, 2), *await released(store, 2)]
    assert [job.id for job in jobs] == ["j1", "j3", "j2", "j4", "j0"]
    assert [job.sequence for job in jobs] == [1, 2, 3, 4, 5]
    assert [entry.envelope.id for entry in await store.outbox(older_than=-1, limit=10)] == [job.id for job in jobs]


async def test_each_is_released_once_however_many_do_it(store_harness: Harness[FullStore]) -> None:
    async with store_harness.process() as one, store_harness.process() as other:
        for number in range(60):
            await scheduled(one, f"j{number}", 0.01, key=f"k{number % 7}", ordered=number % 3 > 0)
        await store_harness.elapse(1.0)
        pages = list(await asyncio.gather(*(store.release_due(limit=10) for store in (one, other) * 3)))
        # Who looked at the same ones as somebody else may have found them gone.
        while page := await one.release_due(limit=10):
            pages.append(page)
        ids = [entry.envelope.id for page in pages for entry in page]
        assert sorted(ids) == sorted({f"j{number}" for number in range(60)})
        counts = await one.counts()
        assert (counts.outbox, counts.jobs[JobState.QUEUED], counts.jobs[JobState.SCHEDULED]) == (60, 60, 0)


async def test_the_id_is_taken_from_the_beginning(store: FullStore) -> None:
    await scheduled(store, "a")
    same, other = NewJob(envelope("a"), ordered=True), NewJob(envelope("a", body=b"1"), ordered=True)
    assert [type(answer) for answer in await store.submit([same, other])] == [Known, Conflict]
    record = await store.job("a")
    assert record
    assert record.state is JobState.SCHEDULED


async def test_a_message_that_comes_early_is_acked_and_starts_nothing(store: FullStore) -> None:
    await scheduled(store, "a")
    answer = await store.open(envelope("a"), fence())
    assert isinstance(answer, Duplicate)
    assert answer.receipt.kind == "scheduled"
    assert isinstance(await store.shelve(envelope("a"), HERE), Receipt)
    assert isinstance(await store.park(envelope("a"), reason="early"), Receipt)
    assert await store.shelved(HERE, limit=10) == []
    record = await store.job("a")
    assert record
    assert (record.state, record.opens) == (JobState.SCHEDULED, 0)


async def test_a_scheduled_job_can_be_cancelled(store: FullStore, store_harness: Harness[FullStore]) -> None:
    await scheduled(store, "a", store_harness.ttl)
    b = await submitted(store, "b")
    (answer,) = await store.cancel(["a"], by="ann", reason="")
    assert answer.cancelled
    await store_harness.elapse(store_harness.ttl * 1.2)
    assert await released(store) == []
    counts = await store.counts()
    assert (counts.jobs[JobState.SCHEDULED], counts.jobs[JobState.CANCELLED]) == (0, 1)
    assert await store.jobs(state=JobState.SCHEDULED) == []
    await committed(store, b)


async def test_a_scheduled_job_whose_message_is_buried_is_not_released(
    store: FullStore, store_harness: Harness[FullStore]
) -> None:
    await scheduled(store, "a", store_harness.ttl)
    await store.bury_message(b"{}", envelope("a"), reason="invalid payload")
    await store_harness.elapse(store_harness.ttl * 1.2)
    assert await released(store) == []
    counts = await store.counts()
    assert (counts.jobs[JobState.SCHEDULED], counts.jobs[JobState.DEAD]) == (0, 1)
    (letter,) = await store.dead()
    assert await store.requeue_dead(letter.number) is not None
    assert [entry.envelope.id for entry in await store.outbox(older_than=-1, limit=10)] == ["a"]
    assert (await store.counts()).jobs[JobState.QUEUED] == 1


async def test_a_follow_up_can_be_scheduled(store: FullStore, store_harness: Harness[FullStore]) -> None:
    job = await submitted(store, "a")
    under = await opened(store, job)
    ttl = store_harness.ttl
    later = NewJob(envelope("later", key="other"), ordered=True, after=ttl)
    now = NewJob(envelope("now", key="other"), ordered=True)
    for _ in range(2):
        answer = await store.commit(job, under, Effects(follow_ups=[later, now]))
        assert [entry.envelope.id for entry in getattr(answer, "outbox", ())] == ["now"]
    await store_harness.elapse(ttl * 1.2)
    assert [(job.id, job.sequence) for job in await released(store)] == [("later", 2)]


async def test_what_is_scheduled_outlives_the_process(store_harness: Harness[FullStore]) -> None:
    async with store_harness.process() as store:
        await scheduled(store, "a", 0.01)
    await store_harness.elapse(1.0)
    async with store_harness.process() as store:
        assert [job.id for job in await released(store)] == ["a"]


async def test_an_ordered_job_without_a_key_cannot_be_scheduled(store: FullStore) -> None:
    with pytest.raises(ValueError, match="must carry a key"):
        await store.submit([NewJob(envelope("a", key=None), ordered=True, after=LONG)])
    assert await store.job("a") is None


# ---- putting a job back --------------------------------------------------------------------------------------------


async def test_a_job_that_is_put_back_is_scheduled_and_its_start_counts_for_nothing(
    store: FullStore, store_harness: Harness[FullStore]
) -> None:
    job = await unordered(store, "a")
    under = await opened(store, job)
    await store.shelve(job, HERE)
    for _ in range(2):
        answer = await store.snooze(job, under, after=store_harness.ttl)
        assert isinstance(answer, Receipt)
        assert answer.kind == "scheduled"
    record, counts = await store.job("a"), await store.counts()
    assert record
    assert (record.state, record.opens) == (JobState.SCHEDULED, 0)
    assert (counts.outbox, counts.shelved, counts.jobs[JobState.SCHEDULED]) == (0, 0, 1)
    assert isinstance(await store.open(job, under), Duplicate)
    assert await released(store) == []
    await store_harness.elapse(store_harness.ttl * 1.2)
    assert await released(store) == [job]
    assert await store.open(job, fence()) == Opened(1, (), 0)
    assert (await store.counts()).jobs[JobState.RUNNING] == 1


async def test_only_who_holds_the_mark_puts_a_job_back(store: FullStore) -> None:
    job = await unordered(store, "a")
    stale = await opened(store, job)
    mark = await opened(store, job)
    assert await store.snooze(job, stale, after=LONG) == Refused(mark.token)
    await store.cancel(["a"], by="ann", reason="")
    assert isinstance(await store.snooze(job, mark, after=LONG), Refused)
    record = await store.job("a")
    assert record
    assert record.state is JobState.CANCELLED


async def test_a_call_that_puts_a_job_back_and_comes_late_brings_no_job_back(
    store: FullStore, store_harness: Harness[FullStore]
) -> None:
    """Its answer was lost, the job was opened again under its fence, and what the holder says later counts."""
    fences = {id: await opened(store, await unordered(store, id, key=id)) for id in ("done", "died", "failed")}
    jobs = {id: envelope(id, key=id) for id in fences}
    await published(store)
    for id, under in fences.items():
        await store.snooze(jobs[id], under, after=store_harness.ttl)
    assert isinstance(await store.commit(jobs["done"], fences["done"], Effects(result=b"1")), Committed)
    assert isinstance(await store.bury(jobs["died"], fences["died"], reason="hopeless"), Receipt)
    assert await store.fail(jobs["failed"], fences["failed"], failure(1)) == 1
    await store_harness.elapse(store_harness.ttl * 1.2)
    assert await store.release_due(limit=10) == []
    assert await outbox_ids(store) == []
    states = await store.states([*jobs])
    assert states == {"done": JobState.COMMITTED, "died": JobState.DEAD, "failed": JobState.QUEUED}
    assert (await store.unfinished("t", JobState.QUEUED))[0] == ["failed"]
    record = await store.job("failed")
    assert record
    assert record.due_at is None
    await committed(store, jobs["failed"])


async def test_neither_an_ordered_job_nor_one_that_was_never_opened_can_be_put_back(store: FullStore) -> None:
    job = await submitted(store, "a")
    under = await opened(store, job)
    with pytest.raises(ValueError, match="sequence"):
        await store.snooze(job, under, after=LONG)
    with pytest.raises(ValueError, match="never opened"):
        await store.snooze(envelope("unknown"), under, after=LONG)
    await committed(store, job, under=under)
