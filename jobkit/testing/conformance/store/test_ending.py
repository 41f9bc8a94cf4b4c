"""A job that has ended has ended everywhere: nothing that would bring it to a worker is left, and nothing returns."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from jobkit.model.envelope import Envelope
from jobkit.model.fence import Fence, Receipt
from jobkit.model.partition import Partition
from jobkit.ports.inspection import JobState
from jobkit.ports.store import Committed, Duplicate, Gap, Opened, OutboxEntry, Refused, Stale
from jobkit.testing.conformance.harness import FullStore, Harness, soon
from jobkit.testing.conformance.values import (
    NOTHING,
    buried,
    committed,
    envelope,
    failure,
    fence,
    opened,
    submitted,
    unordered,
)

HERE = Partition("t", 0)
Ending = Callable[[FullStore, Envelope, Fence], Awaitable[object]]


async def _commit(store: FullStore, job: Envelope, under: Fence) -> None:
    assert isinstance(await store.commit(job, under, NOTHING), Committed)


async def _bury(store: FullStore, job: Envelope, under: Fence) -> None:
    assert isinstance(await store.bury(job, under, reason="hopeless"), Receipt)


async def _bury_message(store: FullStore, job: Envelope, under: Fence) -> None:
    assert isinstance(await store.bury_message(job.body, job, reason="invalid payload"), Receipt)


ENDINGS: list[Ending] = [_commit, _bury, _bury_message]


async def everywhere(store: FullStore) -> tuple[list[OutboxEntry], list[object], int]:
    """Return what the store would bring to a worker: its outbox, its in-flight table, and how many are parked."""
    outbox = await store.outbox(older_than=-1, limit=1_000)
    return list(outbox), list(await store.shelved(HERE, limit=1_000)), (await store.counts()).parked


async def ids_in_outbox(store: FullStore) -> list[str]:
    return [entry.envelope.id for entry in await store.outbox(older_than=-1, limit=1_000)]


@pytest.mark.parametrize("end", ENDINGS)
async def test_a_job_that_has_ended_is_neither_in_the_outbox_nor_in_flight(store: FullStore, end: Ending) -> None:
    job = await submitted(store, "a")
    await store.shelve(job, HERE)
    await end(store, job, await opened(store, job))
    assert await everywhere(store) == ([], [], 0)
    counts = await store.counts()
    assert (counts.outbox, counts.shelved) == (0, 0)


@pytest.mark.parametrize("end", ENDINGS)
async def test_a_late_request_leaves_nothing_of_a_job_that_has_ended(store: FullStore, end: Ending) -> None:
    job = await submitted(store, "a")
    under = await opened(store, job)
    await end(store, job, under)
    before, letters = await store.job("a"), await store.dead()
    assert isinstance(await store.park(job, reason="late"), Receipt)
    assert isinstance(await store.shelve(job, HERE), Receipt)
    assert isinstance(await store.bury(job, under, reason="late"), Receipt)
    assert isinstance(await store.bury_message(job.body, job, reason="late"), Receipt)
    assert isinstance(await store.fail(job, under, failure(1)), Refused)
    await store.progress(job, under, fraction=0.5, message="late")
    assert await store.republish(["a"]) == []
    assert isinstance(await store.open(job, fence()), Duplicate)
    assert await everywhere(store) == ([], [], 0)
    assert (await store.job("a"), await store.dead()) == (before, letters)


@pytest.mark.parametrize("end", ENDINGS)
async def test_who_waits_for_a_job_is_told_that_it_has_ended(store: FullStore, end: Ending) -> None:
    job = await submitted(store, "a")
    under = await opened(store, job)
    waiting = asyncio.create_task(store.wait_finished(["a"], 3600))
    await store.counts()
    await end(store, job, under)
    await soon(waiting)


async def test_a_job_whose_message_is_invalid_is_dead_and_never_opened_again(store: FullStore) -> None:
    job = await submitted(store, "a")
    assert await store.bury_message(job.body, job, reason="invalid payload", detail="x: missing") is not None
    record = await store.job("a")
    assert record
    assert record.state is JobState.DEAD
    assert record.finished_at is not None
    (letter,) = await store.dead()
    assert (letter.id, letter.key, letter.sequence, letter.reason) == ("a", "k", 1, "invalid payload")
    assert isinstance(await store.open(job, fence()), Duplicate)


async def test_an_invalid_job_holds_its_key_up_like_a_buried_one(store: FullStore) -> None:
    a, b = await submitted(store, "a"), await submitted(store, "b")
    await store.bury_message(a.body, a, reason="invalid payload")
    assert await store.open(b, fence()) == Gap(1, blocked=True)
    (letter,) = await store.dead()
    assert await store.requeue_dead(letter.number) == a
    await committed(store, a)
    await committed(store, b)


async def test_the_holder_of_a_job_whose_message_was_buried_cannot_commit_it(store: FullStore) -> None:
    job = await submitted(store, "a")
    under = await opened(store, job)
    await store.bury_message(job.body, job, reason="unknown type")
    assert isinstance(await store.commit(job, under, NOTHING), Duplicate)
    assert len(await store.dead()) == 1


async def test_the_history_of_a_job_goes_into_the_letter_of_its_message(store: FullStore) -> None:
    job = await submitted(store, "a")
    await store.fail(job, await opened(store, job), failure(1))
    await store.bury_message(job.body, job, reason="unknown type")
    (letter,) = await store.dead()
    assert letter.failures == (failure(1),)


async def test_a_job_submitted_without_a_key_ends_with_its_message_after_its_key_was_derived(store: FullStore) -> None:
    keyless = await unordered(store, "a", key="")
    await store.bury_message(keyless.body, keyless, reason="invalid payload")
    record = await store.job("a")
    assert record
    assert record.state is JobState.DEAD


async def test_a_message_that_conflicts_is_dead_lettered_rather_than_shelved(store: FullStore) -> None:
    job, other = await submitted(store, "a"), envelope("a", body=b'"other"')
    await store.shelve(job, HERE)
    assert isinstance(await store.shelve(other, HERE), Receipt)
    assert [shelved.envelope for shelved in await store.shelved(HERE, limit=10)] == [job]
    (letter,) = await store.dead()
    assert (letter.id, letter.raw) == ("a", other.body)
    await committed(store, job)


async def test_a_job_is_in_the_outbox_once_however_often_it_is_put_there(store: FullStore) -> None:
    a, b = await submitted(store, "a"), await submitted(store, "b")
    assert isinstance(await store.open(b, fence()), Gap)
    await store.park(b, reason="gap")
    assert await ids_in_outbox(store) == ["a"]
    await store.resume_gap("t", "k")
    await store.open(b, fence())
    await store.park(b, reason="gap")
    await committed(store, a)
    assert await ids_in_outbox(store) == ["b"]
    await committed(store, b)
    assert await ids_in_outbox(store) == []


async def test_the_envelope_of_a_job_is_kept_whole_until_it_has_ended(store_harness: Harness[FullStore]) -> None:
    async with store_harness.process() as store:
        job = await submitted(store, "a", body=b'{"x": "\xfe"}')
        await store.published([entry.position for entry in await store.outbox(older_than=-1, limit=10)])
    async with store_harness.process() as store:
        await opened(store, job)
        assert await store.republish(["a"]) == ["a"]
        assert [entry.envelope for entry in await store.outbox(older_than=-1, limit=10)] == [job]


async def test_a_foreign_sequence_that_came_early_is_not_given_out_again(store: FullStore) -> None:
    early = envelope("foreign", sequence=3)
    assert await store.open(early, fence()) == Gap(1, blocked=False)
    assert [(await submitted(store, id)).sequence for id in "ab"] == [4, 5]


@pytest.mark.parametrize("how", ["park", "shelve"])
async def test_a_foreign_sequence_that_was_only_set_aside_is_not_given_out_again(store: FullStore, how: str) -> None:
    early = envelope("foreign", sequence=3)
    await (store.park(early, reason="gap") if how == "park" else store.shelve(early, HERE))
    assert (await submitted(store, "a")).sequence == 4


async def test_a_sequence_at_the_end_of_all_numbers_does_not_end_the_key(store: FullStore) -> None:
    far = envelope("foreign", sequence=2**63 - 1)
    assert isinstance(await store.open(far, fence()), Gap)
    job = await submitted(store, "a")
    assert job.sequence == 1
    await committed(store, job)


async def test_parked_jobs_come_out_a_bounded_number_at_a_time_and_all_in_order(store: FullStore) -> None:
    many = 100
    jobs = [await submitted(store, f"j{number}") for number in range(many)]
    await store.published([entry.position for entry in await store.outbox(older_than=-1, limit=1_000)])
    for job in jobs[1:]:
        await store.park(job, reason="gap")
    most = len((await committed(store, jobs[0])).outbox)
    assert 0 < most < many / 2
    for job in jobs[1:]:
        assert await ids_in_outbox(store)
        assert len((await committed(store, job)).outbox) <= most
    assert (await store.counts()).jobs[JobState.COMMITTED] == many
    assert await everywhere(store) == ([], [], 0)


async def test_parked_jobs_that_were_skipped_all_come_out_though_few_at_a_time(store: FullStore) -> None:
    many = 100
    jobs = [await submitted(store, f"j{number}") for number in range(many)]
    await store.published([entry.position for entry in await store.outbox(older_than=-1, limit=1_000)])
    for job in jobs[1:]:
        await store.park(job, reason="gap")
    assert 0 < await store.skip_gap("t", "k", before=many + 1) < many / 2
    while entries := await store.outbox(older_than=-1, limit=1_000):
        for entry in entries:
            assert not isinstance(await store.open(entry.envelope, fence()), Opened | Stale)
            await store.bury_message(entry.envelope.body, entry.envelope, reason="sequence skipped")
    # The first was published, and nobody has said what became of it.
    counts = await store.counts()
    assert (counts.jobs[JobState.DEAD], counts.jobs[JobState.QUEUED], counts.parked) == (many - 1, 1, 0)


async def test_ending_and_shelving_at_once_leave_nothing_in_flight(store_harness: Harness[FullStore]) -> None:
    async with store_harness.process() as one, store_harness.process() as other:
        for number in range(20):
            job = await unordered(one, f"a{number}", key=f"k{number}")
            under = await opened(one, job)
            calls = [other.shelve(job, HERE), one.commit(job, under, NOTHING)]
            await asyncio.gather(*(calls if number % 2 else reversed(calls)))
        assert await everywhere(one) == ([], [], 0)


async def test_ending_jobs_and_confirming_their_entries_at_once_loses_no_answer(
    store_harness: Harness[FullStore],
) -> None:
    async with store_harness.process() as one, store_harness.process() as other:
        for round in range(5):
            jobs = [await unordered(one, f"{round}-{number}", key=f"k{9 - number}") for number in range(10)]
            under = [await opened(one, job) for job in jobs]
            positions = [entry.position for entry in await one.outbox(older_than=-1, limit=100)]
            commits = [one.commit(job, fenced, NOTHING) for job, fenced in zip(jobs, under, strict=True)]
            answers = await asyncio.gather(*commits, other.published(positions))
            assert all(isinstance(answer, Committed) for answer in answers[:-1])
        assert (await one.counts()).outbox == 0


async def test_a_letter_that_is_requeued_twice_makes_one_job(store: FullStore) -> None:
    number = await buried(store, await submitted(store, "a"))
    answers = await asyncio.gather(store.requeue_dead(number), store.requeue_dead(number))
    assert sorted(answer is None for answer in answers) == [False, True]
    assert await ids_in_outbox(store) == ["a"]
