"""Cancelling: once it has answered, the job never commits, and it is nowhere any more."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from jobkit.model.envelope import Envelope
from jobkit.model.fence import Receipt
from jobkit.model.partition import Partition
from jobkit.ports.inspection import Cancellation, JobState
from jobkit.ports.rules import NOTE_CHARACTERS
from jobkit.ports.store import Committed, Conflict, Duplicate, Effects, Gap, Known, LogEntry, NewJob, Opened, Refused
from jobkit.testing.conformance.harness import FullStore, Harness, soon
from jobkit.testing.conformance.values import (
    NOTHING,
    buried,
    cancel,
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
NOW = Cancellation("a", cancelled=True, state=JobState.CANCELLED)
BEFORE = Cancellation("a", cancelled=False, state=JobState.CANCELLED)


# ---- wherever a job is -------------------------------------------------------------------------------------------


async def _queued(store: FullStore, job: Envelope) -> None:
    pass


async def _with_a_message(store: FullStore, job: Envelope) -> None:
    await published(store)


async def _running(store: FullStore, job: Envelope) -> None:
    await opened(store, job)


async def _in_flight(store: FullStore, job: Envelope) -> None:
    await store.shelve(job, HERE)
    await opened(store, job)


async def _retrying(store: FullStore, job: Envelope) -> None:
    await store.fail(job, await opened(store, job), failure(1))


async def _republished(store: FullStore, job: Envelope) -> None:
    await published(store)
    await store.republish([job.id])


PLACES = [_queued, _with_a_message, _running, _in_flight, _retrying, _republished]
Move = Callable[[FullStore, Envelope], Awaitable[None]]


@pytest.mark.parametrize("move", PLACES)
@pytest.mark.parametrize("submit", [submitted, unordered])
async def test_a_cancelled_job_is_nowhere_any_more(
    store: FullStore, submit: Callable[[FullStore, str], Awaitable[Envelope]], move: Move
) -> None:
    job = await submit(store, "a")
    await move(store, job)
    assert await cancel(store, "a") == [NOW]
    record = await store.job("a")
    assert record
    assert (record.state, record.ended_by, record.reason) == (JobState.CANCELLED, "ann", "not wanted")
    assert record.finished_at is not None
    counts = await store.counts()
    assert (counts.outbox, counts.shelved, counts.parked, counts.dead) == (0, 0, 0, 0)
    assert {state: number for state, number in counts.jobs.items() if number} == {JobState.CANCELLED: 1}
    assert await store.republish(["a"]) == []
    assert (await store.adrift(HERE, 1, after=0, upto=await store.horizon(), limit=100))[0] == []


@pytest.mark.parametrize("move", PLACES)
async def test_whatever_still_comes_of_a_cancelled_job_changes_nothing(store: FullStore, move: Move) -> None:
    job = await submitted(store, "a")
    await move(store, job)
    await cancel(store, "a")
    before, key = await store.job("a"), await store.key("t", "k")
    answer = await store.open(job, fence())
    assert isinstance(answer, Duplicate)
    assert answer.receipt.kind == "cancelled"
    assert isinstance(await store.park(job, reason="late"), Receipt)
    assert isinstance(await store.shelve(job, HERE), Receipt)
    assert isinstance(await store.bury_message(job.body, job, reason="late"), Receipt)
    assert await store.submit([NewJob(envelope("a"), ordered=True)]) == [Known(job)]
    assert isinstance((await store.submit([NewJob(envelope("a", body=b"1"), ordered=True)]))[0], Conflict)
    assert await cancel(store, "a") == [BEFORE]
    assert (await store.job("a"), await store.key("t", "k")) == (before, key)
    assert (await store.dead(), await outbox_ids(store), await store.shelved(HERE, limit=10)) == ([], [], [])


async def test_what_runs_cannot_commit_once_it_is_cancelled(store: FullStore) -> None:
    job = await submitted(store, "a")
    under = await opened(store, job)
    await cancel(store, "a")
    follow_up = NewJob(envelope("follow-up", key="other"), ordered=False)
    answer = await store.commit(
        job, under, Effects(records={"r": b"1"}, entries=[LogEntry("done", b"1")], follow_ups=[follow_up])
    )
    assert isinstance(answer, Duplicate)
    assert answer.receipt.kind == "cancelled"
    assert isinstance(await store.fail(job, under, failure(1)), Refused)
    late = await store.bury(job, under, reason="late")
    assert isinstance(late, Receipt)
    assert late.kind == "cancelled"
    await store.progress(job, under, fraction=0.5, message="late")
    assert await store.job("follow-up") is None
    assert await store.record("t", "k", "r") is None
    assert (await store.log("t", "k"), await store.dead()) == ([], [])
    record = await store.job("a")
    assert record
    assert (record.state, record.failures, record.progress) == (JobState.CANCELLED, (), 0)


async def test_the_holder_of_a_running_job_finds_out_that_it_was_cancelled(store: FullStore) -> None:
    for id in "abc":
        await opened(store, await unordered(store, id, key=id))
    assert await store.cancelled(["a", "b", "c", "unknown"]) == []
    assert await store.cancelled([]) == []
    await cancel(store, "a", "c")
    assert {(receipt.job_id, receipt.kind) for receipt in await store.cancelled(["a", "b", "c", "unknown"])} == {
        ("a", "cancelled"),
        ("c", "cancelled"),
    }


async def test_who_waits_for_a_job_is_told_that_it_is_cancelled(store: FullStore) -> None:
    await submitted(store, "a")
    waiting = asyncio.create_task(store.wait_finished(["a"], 3600))
    await store.counts()
    await cancel(store, "a")
    await soon(waiting)


# ---- what is answered --------------------------------------------------------------------------------------------


async def test_the_answer_is_what_is_true_of_each_job(store: FullStore) -> None:
    await committed(store, await unordered(store, "done", key="1"), Effects(result=b'{"n": 1}'))
    await buried(store, await unordered(store, "dead", key="2"))
    await unordered(store, "a", key="3")
    assert await cancel(store, "done", "dead", "a", "unknown", "a") == [
        Cancellation("done", cancelled=False, state=JobState.COMMITTED, result=b'{"n": 1}'),
        Cancellation("dead", cancelled=False, state=JobState.DEAD),
        NOW,
        Cancellation("unknown", cancelled=False, state=None),
        BEFORE,
    ]
    assert len(await store.dead()) == 1
    assert await store.cancel([], by="ann", reason="") == []


async def test_a_job_that_was_submitted_without_a_key_can_be_cancelled(store: FullStore) -> None:
    await store.submit([NewJob(envelope("a", key=None), ordered=False)])
    assert await cancel(store, "a") == [NOW]


async def test_what_is_noted_is_kept_whatever_is_in_it_and_has_a_bound(store: FullStore) -> None:
    await submitted(store, "a")
    await store.cancel(["a"], by="a\0b\ud800", reason="x" * 10_000)
    record = await store.job("a")
    assert record
    assert record.ended_by == "a\\x00b\\ud800"
    assert record.reason == "x" * NOTE_CHARACTERS


async def test_a_committed_job_keeps_its_effects(store: FullStore) -> None:
    job = await submitted(store, "a")
    under = await opened(store, job)
    await store.commit(job, under, Effects(result=b"7"))
    assert await cancel(store, "a") == [Cancellation("a", cancelled=False, state=JobState.COMMITTED, result=b"7")]
    assert isinstance(await store.commit(job, under, Effects(result=b"7")), Committed)


async def test_either_the_commit_or_the_cancellation_takes_effect(store_harness: Harness[FullStore]) -> None:
    async with store_harness.process() as one, store_harness.process() as other:
        for number in range(30):
            submit = (submitted, unordered)[number % 2]
            job = await submit(one, f"a{number}", key=f"k{number}")
            under = await opened(one, job)
            calls = [one.commit(job, under, NOTHING), other.cancel([job.id], by="ann", reason="")]
            answers = await asyncio.gather(*(calls if number % 4 < 2 else reversed(calls)))
            won = [isinstance(answer, Committed) for answer in answers if not isinstance(answer, list)]
            record = await one.job(job.id)
            assert record
            assert record.state is (JobState.COMMITTED if any(won) else JobState.CANCELLED)
        counts = (await one.counts()).jobs
        assert counts[JobState.COMMITTED] + counts[JobState.CANCELLED] == 30


async def test_either_the_opening_or_the_cancellation_comes_first(store_harness: Harness[FullStore]) -> None:
    async with store_harness.process() as one, store_harness.process() as other:
        for number in range(30):
            job = await unordered(one, f"a{number}", key=f"k{number}")
            under = fence()
            calls = [one.open(job, under), other.cancel([job.id], by="ann", reason="")]
            await asyncio.gather(*(calls if number % 2 else reversed(calls)))
            record = await one.job(job.id)
            assert record
            assert record.state is JobState.CANCELLED
            assert isinstance(await one.commit(job, under, NOTHING), Duplicate)


async def test_many_that_are_cancelled_at_once_from_both_ends_all_end(store_harness: Harness[FullStore]) -> None:
    async with store_harness.process() as one, store_harness.process() as other:
        ids = [f"a{number}" for number in range(60)]
        for number, id in enumerate(ids):
            await (submitted if number % 2 else unordered)(one, id, key=f"k{number % 7}")
        await published(one)
        answers = await asyncio.gather(
            one.cancel(ids, by="ann", reason=""), other.cancel(list(reversed(ids)), by="bob", reason="")
        )
        assert sum(answer.cancelled for answered in answers for answer in answered) == len(ids)
        assert (await one.counts()).jobs[JobState.CANCELLED] == len(ids)


# ---- finding, and forgetting -------------------------------------------------------------------------------------


async def found(
    store: FullStore, state: JobState, *, key: str | None = None, below: int | None = None, limit: int = 3
) -> list[str]:
    ids: list[str] = []
    while True:
        page, below = await store.unfinished("t", state, key=key, below=below, limit=limit)
        ids += page
        if below is None:
            return ids


async def test_jobs_that_have_yet_to_end_are_found_in_pages_the_latest_first(store: FullStore) -> None:
    for number in range(8):
        await unordered(store, f"j{number}", key=f"k{number % 2}")
        await unordered(store, f"other{number}", key="k0", type="other")
    await opened(store, envelope("j3", key="k1"))
    await committed(store, envelope("j4", key="k0"))
    await cancel(store, "j5")
    assert await found(store, JobState.QUEUED) == ["j7", "j6", "j2", "j1", "j0"]
    assert await found(store, JobState.QUEUED, key="k0") == ["j6", "j2", "j0"]
    assert await found(store, JobState.RUNNING) == ["j3"]
    assert await found(store, JobState.PARKED) == []


async def test_what_is_submitted_later_is_not_among_what_is_looked_through(store: FullStore) -> None:
    for number in range(4):
        await unordered(store, f"j{number}", key=f"k{number}")
    page, below = await store.unfinished("t", JobState.QUEUED, limit=2)
    await unordered(store, "later", key="later")
    assert page == ["j3", "j2"]
    assert await found(store, JobState.QUEUED, below=below) == ["j1", "j0"]


async def test_cancelled_jobs_are_listed(store: FullStore) -> None:
    for id in "abc":
        await unordered(store, id, key=id)
    await cancel(store, "c", "a")
    assert [job.id for job in await store.jobs(state=JobState.CANCELLED)] == ["c", "a"]
    assert [job.id for job in await store.jobs(state=JobState.DEAD)] == []


async def test_a_cancelled_job_is_remembered_for_as_long_as_a_committed_one(
    store: FullStore, store_harness: Harness[FullStore]
) -> None:
    job = await unordered(store, "a")
    await cancel(store, "a")
    assert await store.prune(older_than=store_harness.ttl, keep_at_most=10**9) == 0
    assert isinstance(await store.open(job, fence()), Duplicate)
    await store_harness.elapse(store_harness.ttl * 1.2)
    assert await store.prune(older_than=store_harness.ttl, keep_at_most=10**9) == 1
    assert await store.job("a") is None
    assert (await store.counts()).jobs[JobState.CANCELLED] == 0


async def test_cancelled_jobs_count_among_those_that_are_kept_at_most(store: FullStore) -> None:
    for number in range(6):
        await unordered(store, f"j{number}", key=f"k{number}")
    await cancel(store, *(f"j{number}" for number in range(6)))
    assert await store.prune(older_than=10**9, keep_at_most=2) == 4
    assert (await store.counts()).jobs[JobState.CANCELLED] == 2


async def test_a_job_cancelled_before_its_turn_is_kept_until_that_is_over(
    store: FullStore, store_harness: Harness[FullStore]
) -> None:
    a, b, c = [await submitted(store, id) for id in "abc"]
    await cancel(store, "b")
    await store_harness.elapse(1.0)
    assert await store.prune(older_than=0, keep_at_most=0) == 0
    assert await store.open(c, fence()) == Gap(1, blocked=False)
    await committed(store, a)
    await store_harness.elapse(1.0)
    assert await store.prune(older_than=0, keep_at_most=0) == 2
    # Nothing of it runs, though its id is no longer known.
    assert not isinstance(await store.open(b, fence()), Opened | Gap)
    await committed(store, c)


# ---- by state --------------------------------------------------------------------------------------------------------


async def test_only_what_is_in_such_a_state_at_that_moment_is_cancelled(store: FullStore) -> None:
    waits, runs = await unordered(store, "waits", key="w"), await unordered(store, "runs", key="r")
    later = NewJob(envelope("later", key="l"), ordered=False, after=3_600.0)
    await store.submit([later])
    under = await opened(store, runs)
    ids = [waits.id, runs.id, "later", "unknown"]
    answers = await store.cancel(ids, by="ann", reason="", states=[JobState.QUEUED])
    assert [(answer.cancelled, answer.state) for answer in answers] == [
        (True, JobState.CANCELLED),
        (False, JobState.RUNNING),
        (False, JobState.SCHEDULED),
        (False, None),
    ]
    assert isinstance(await store.commit(runs, under, NOTHING), Committed)
    answers = await store.cancel(["later", "runs"], by="ann", reason="", states=[JobState.RUNNING, JobState.SCHEDULED])
    assert [(answer.cancelled, answer.state) for answer in answers] == [
        (True, JobState.CANCELLED),
        (False, JobState.COMMITTED),
    ]


async def test_no_state_cancels_nothing(store: FullStore) -> None:
    await unordered(store, "a")
    (answer,) = await store.cancel(["a"], by="ann", reason="", states=[])
    assert (answer.cancelled, answer.state) == (False, JobState.QUEUED)
