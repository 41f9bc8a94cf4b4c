"""Priorities: kept with the job wherever it goes, and changed while it waits."""

from __future__ import annotations

import asyncio

import pytest

from jobkit.model.envelope import Envelope
from jobkit.model.partition import Partition
from jobkit.model.priority import Priority
from jobkit.ports.inspection import JobState, PriorityChange
from jobkit.ports.store import Accepted, Committed, Duplicate, Effects, Known, NewJob, OpenAnswer, Opened
from jobkit.testing.conformance.harness import FullStore, Harness
from jobkit.testing.conformance.values import (
    NOTHING,
    buried,
    committed,
    envelope,
    failure,
    fence,
    opened,
    published,
    submitted,
)

HERE = Partition("t", 0)
HIGH, NORMAL, LOW = Priority


async def accepted(store: FullStore, id: str, priority: Priority = NORMAL, *, after: float | None = None) -> Envelope:
    job = NewJob(envelope(id, key=id).with_priority(priority), ordered=False, after=after)
    (answer,) = await store.submit([job])
    assert isinstance(answer, Accepted), answer
    assert answer.envelope.priority is priority
    return answer.envelope


async def in_outbox(store: FullStore) -> dict[str, Priority]:
    return {one.envelope.id: one.envelope.priority for one in await store.outbox(older_than=-1, limit=100)}


async def change(store: FullStore, id: str, priority: Priority) -> PriorityChange:
    (answer,) = await store.reprioritize([id], priority)
    return answer


async def priority_of(store: FullStore, id: str) -> Priority | None:
    record = await store.job(id)
    assert record is not None
    return record.priority


def kind(answer: OpenAnswer) -> str:
    assert isinstance(answer, Duplicate), answer
    return answer.receipt.kind


# ---- kept ----------------------------------------------------------------------------------------------------------


async def test_a_job_has_its_priority_wherever_the_store_has_it_until_it_ends(store: FullStore) -> None:
    await accepted(store, "a", HIGH)
    assert await in_outbox(store) == {"a": HIGH}
    assert await priority_of(store, "a") is HIGH
    assert [job.priority for job in await store.jobs()] == [HIGH]
    await published(store)
    (adrift,), _ = await store.adrift(HERE, 1, after=0, upto=await store.horizon(), limit=10)
    assert adrift.envelope.priority is HIGH
    await store.shelve(adrift.envelope, HERE)
    (shelved,) = await store.shelved(HERE, limit=10)
    assert shelved.envelope.priority is HIGH
    await committed(store, shelved.envelope)
    assert await priority_of(store, "a") is None


async def test_a_job_has_its_priority_when_it_is_due_and_when_it_was_put_back(
    store: FullStore, store_harness: Harness[FullStore]
) -> None:
    job = await accepted(store, "a", LOW, after=store_harness.ttl)
    assert await priority_of(store, "a") is LOW
    await store_harness.elapse(store_harness.ttl * 1.1)
    assert [one.envelope.priority for one in await store.release_due(limit=10)] == [LOW]
    await store.snooze(job, await opened(store, job), after=store_harness.ttl)
    await store_harness.elapse(store_harness.ttl * 1.1)
    assert [one.envelope.priority for one in await store.release_due(limit=10)] == [LOW]


async def test_a_job_has_its_priority_after_its_dead_letter_and_when_it_is_published_again(store: FullStore) -> None:
    number = await buried(store, await accepted(store, "a", HIGH))
    again = await store.requeue_dead(number)
    assert again is not None
    assert again.priority is HIGH
    assert await in_outbox(store) == {"a": HIGH}
    await published(store)
    assert await store.republish(["a"]) == ["a"]
    assert await in_outbox(store) == {"a": HIGH}


async def test_a_follow_up_has_a_priority_of_its_own(store: FullStore) -> None:
    job = await accepted(store, "a")
    under = await opened(store, job)
    effects = Effects(follow_ups=[NewJob(envelope("b").with_priority(LOW), ordered=False)])
    answer = await store.commit(job, under, effects)
    assert isinstance(answer, Committed)
    assert [entry.envelope.priority for entry in answer.outbox] == [LOW]


async def test_a_priority_is_no_part_of_what_a_job_is(store: FullStore) -> None:
    await accepted(store, "a", HIGH)
    (answer,) = await store.submit([NewJob(envelope("a", key="a"), ordered=False)])
    assert isinstance(answer, Known)
    assert await priority_of(store, "a") is HIGH


# ---- changed -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("has_message", [False, True])
@pytest.mark.parametrize(("before", "after"), [(NORMAL, HIGH), (NORMAL, LOW), (HIGH, NORMAL)])
async def test_a_job_that_waits_is_published_anew_with_another_priority(
    store: FullStore, before: Priority, after: Priority, has_message: bool
) -> None:
    job = await accepted(store, "a", before)
    if has_message:
        await published(store)
    answer = await change(store, "a", after)
    assert (answer.changed, answer.state, answer.priority) == (True, JobState.QUEUED, after)
    assert answer.entry is not None
    assert answer.entry.envelope == job.with_priority(after)
    assert await in_outbox(store) == {"a": after}
    assert (await store.outbox(older_than=-1, limit=10))[0].position == answer.entry.position
    assert await priority_of(store, "a") is after
    assert (await store.counts()).outbox == 1


async def test_a_message_of_another_priority_is_dropped_and_the_job_runs_once(store: FullStore) -> None:
    old = await accepted(store, "a")
    await change(store, "a", LOW)
    assert kind(await store.open(old, fence())) == "moved"
    record = await store.job("a")
    assert record is not None
    assert (record.state, record.opens) == (JobState.QUEUED, 0)
    new = old.with_priority(LOW)
    under = await opened(store, new)
    assert kind(await store.open(old, fence())) == "moved"
    assert isinstance(await store.commit(new, under, NOTHING), Committed)
    assert kind(await store.open(new, fence())) == "duplicate"


async def test_a_priority_may_be_changed_back_and_the_first_message_is_good_again(store: FullStore) -> None:
    job = await accepted(store, "a")
    await change(store, "a", HIGH)
    await change(store, "a", NORMAL)
    assert kind(await store.open(job.with_priority(HIGH), fence())) == "moved"
    assert isinstance(await store.open(job, fence()), Opened)


async def test_changing_a_priority_again_changes_nothing_and_says_so(store: FullStore) -> None:
    await accepted(store, "a", HIGH)
    assert await change(store, "a", HIGH) == PriorityChange("a", False, JobState.QUEUED, HIGH)
    await change(store, "a", LOW)
    await published(store)
    assert await change(store, "a", LOW) == PriorityChange("a", False, JobState.QUEUED, LOW)
    assert await in_outbox(store) == {}


async def test_the_priority_of_what_runs_or_has_ended_or_is_unknown_is_not_changed(store: FullStore) -> None:
    running, ended = await accepted(store, "running"), await accepted(store, "ended")
    await committed(store, ended)
    under = await opened(store, running)
    await published(store)
    assert list(await store.reprioritize(["running", "ended", "nobody"], HIGH)) == [
        PriorityChange("running", False, JobState.RUNNING, NORMAL),
        PriorityChange("ended", False, JobState.COMMITTED),
        PriorityChange("nobody", False, None),
    ]
    assert await in_outbox(store) == {}
    assert isinstance(await store.commit(running, under, NOTHING), Committed)


async def test_the_priority_of_a_job_with_a_place_in_an_order_is_not_changed(store: FullStore) -> None:
    job = await submitted(store, "a")
    (scheduled,) = await store.submit([NewJob(envelope("b"), ordered=True, after=60.0)])
    assert isinstance(scheduled, Accepted)
    assert await change(store, "a", HIGH) == PriorityChange("a", False, JobState.QUEUED, NORMAL)
    assert await change(store, "b", HIGH) == PriorityChange("b", False, JobState.SCHEDULED, NORMAL)
    assert isinstance(await store.open(job, fence()), Opened)


async def test_a_scheduled_job_has_its_changed_priority_when_it_is_due(
    store: FullStore, store_harness: Harness[FullStore]
) -> None:
    await accepted(store, "a", after=store_harness.ttl)
    assert await change(store, "a", HIGH) == PriorityChange("a", True, JobState.SCHEDULED, HIGH)
    assert await in_outbox(store) == {}
    await store_harness.elapse(store_harness.ttl * 1.1)
    (entry,) = await store.release_due(limit=10)
    assert entry.envelope.priority is HIGH
    assert isinstance(await store.open(entry.envelope, fence()), Opened)


async def test_the_priority_of_a_job_between_two_attempts_is_changed_and_its_history_stays(store: FullStore) -> None:
    job = await accepted(store, "a")
    under = await opened(store, job)
    await store.fail(job, under, failure(1))
    assert (await change(store, "a", HIGH)).changed
    answer = await store.open(job.with_priority(HIGH), fence())
    assert isinstance(answer, Opened)
    assert len(answer.failures) == 1


async def test_the_priority_of_a_job_in_flight_that_waits_is_changed_there_too(store: FullStore) -> None:
    job = await accepted(store, "a")
    await store.shelve(job, HERE)
    await published(store)
    assert (await change(store, "a", HIGH)).changed
    assert await in_outbox(store) == {"a": HIGH}
    (shelved,) = await store.shelved(HERE, limit=10)
    assert shelved.envelope.priority is HIGH


async def test_a_job_that_died_with_a_changed_priority_is_requeued_with_it(store: FullStore) -> None:
    job = await accepted(store, "a")
    await change(store, "a", HIGH)
    again = await store.requeue_dead(await buried(store, job.with_priority(HIGH)))
    assert again is not None
    assert isinstance(await store.open(again, fence()), Opened)


async def test_the_priority_of_an_id_that_is_named_twice_is_changed_once(store: FullStore) -> None:
    await accepted(store, "a")
    assert [answer.changed for answer in await store.reprioritize(["a", "a"], HIGH)] == [True, False]
    assert list(await store.reprioritize([], HIGH)) == []


async def test_jobs_that_begin_while_their_priorities_are_changed_run_once(store: FullStore) -> None:
    jobs = [await accepted(store, f"job {number}") for number in range(20)]
    changing = asyncio.create_task(store.reprioritize([job.id for job in jobs], HIGH))
    under = [fence() for _ in jobs]
    opens = await asyncio.gather(*(store.open(job, mark) for job, mark in zip(jobs, under, strict=True)))
    changes = await changing
    for job, mark, answer, changed in zip(jobs, under, opens, changes, strict=True):
        if isinstance(answer, Opened):
            assert isinstance(await store.commit(job, mark, NOTHING), Committed)
        else:
            assert kind(answer) == "moved"
            assert changed.changed
            await committed(store, job.with_priority(HIGH))
