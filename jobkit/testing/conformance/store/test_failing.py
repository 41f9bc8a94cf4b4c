"""Failures, dead letters and progress."""

from __future__ import annotations

import asyncio

import pytest

from jobkit.model.fence import Receipt
from jobkit.model.partition import Partition
from jobkit.ports.inspection import JobState
from jobkit.ports.store import Duplicate, Opened, Refused, Skipped
from jobkit.testing.conformance.harness import FullStore, Harness, a_moment, soon
from jobkit.testing.conformance.values import buried, committed, envelope, failure, fence, opened, submitted, unordered


async def state(store: FullStore, id: str) -> JobState | None:
    record = await store.job(id)
    return None if record is None else record.state


async def test_failures_add_up_and_are_remembered_oldest_first(store: FullStore) -> None:
    job = await submitted(store, "a")
    under = await opened(store, job)
    for attempt in range(1, 4):
        assert await store.fail(job, under, failure(attempt, f"error {attempt}")) == attempt
    record = await store.job("a")
    assert record
    assert record.failures == tuple(failure(attempt, f"error {attempt}") for attempt in range(1, 4))


async def test_a_job_that_waits_for_its_next_attempt_is_queued_not_running(store: FullStore) -> None:
    job = await submitted(store, "a")
    under = await opened(store, job)
    await store.progress(job, under, fraction=0.4, message="on its way")
    await store.fail(job, under, failure(1))
    record = await store.job("a")
    assert record
    assert (record.state, record.opens, record.progress, record.message) == (JobState.QUEUED, 1, 0.0, "")
    counted = (await store.counts()).jobs
    assert (counted[JobState.QUEUED], counted[JobState.RUNNING]) == (1, 0)
    assert not await store.progress(job, fence(4), fraction=0.9, message="late")

    # The next attempt may be made under the same fence: an ordered key keeps its lease meanwhile.
    assert await store.open(job, under) == Opened(2, (failure(1),), 0)
    # Told twice, the failure is that of an attempt long over.
    assert await store.fail(job, under, failure(1)) == 1
    assert await state(store, "a") is JobState.RUNNING
    counted = (await store.counts()).jobs
    assert (counted[JobState.QUEUED], counted[JobState.RUNNING]) == (0, 1)
    await committed(store, job, under=under)
    assert await state(store, "a") is JobState.COMMITTED


async def test_the_same_attempt_fails_once(store: FullStore) -> None:
    job = await submitted(store, "a")
    under = await opened(store, job)
    assert await store.fail(job, under, failure(1)) == 1
    assert await store.fail(job, under, failure(1)) == 1
    assert await store.fail(job, under, failure(2)) == 2
    assert await store.fail(job, under, failure(1)) == 2


async def test_a_very_long_history_is_counted_in_full_and_kept_in_part(store: FullStore) -> None:
    job = await unordered(store, "a")
    under = await opened(store, job)
    for attempt in range(1, 41):
        assert await store.fail(job, under, failure(attempt)) == attempt
    assert await store.fail(job, under, failure(1)) == 40
    record = await store.job("a")
    assert record
    assert record.failures[-1] == failure(40)
    assert 10 <= len(record.failures) <= 40


async def test_only_the_mark_may_fail_a_job(store: FullStore) -> None:
    job = await submitted(store, "a")
    stale = await opened(store, job, fence(5))
    await opened(store, job, fence(6))
    for under in (stale, fence(6, "other"), fence(7)):
        assert await store.fail(job, under, failure(1)) == Refused(6)
    record = await store.job("a")
    assert record
    assert record.failures == ()


async def test_burying_ends_a_job_and_its_history_goes_with_it(store: FullStore) -> None:
    job = await submitted(store, "a", body=b'{"x": "\xff"}')
    under = await opened(store, job)
    await store.fail(job, under, failure(1))
    receipt = await store.bury(job, under, reason="too many attempts", detail="Traceback: ...")
    assert isinstance(receipt, Receipt)
    assert receipt.job_id == "a"
    (letter,) = await store.dead()
    assert (letter.id, letter.type, letter.key, letter.sequence) == ("a", "t", "k", 1)
    assert (letter.reason, letter.detail) == ("too many attempts", "Traceback: ...")
    assert letter.failures == (failure(1),)
    assert letter.raw == b'{"x": "\xff"}'
    assert await store.dead_letter(letter.number) == letter
    record = await store.job("a")
    assert record
    assert record.state is JobState.DEAD
    assert record.finished_at is not None


async def test_a_dead_job_says_why_until_it_is_requeued(store: FullStore) -> None:
    job, other = await submitted(store, "a"), await submitted(store, "b", key="l")
    await store.bury(job, await opened(store, job), reason="too many attempts")
    await store.bury_message(other.body, other, reason="invalid payload")
    for id, reason in (("a", "too many attempts"), ("b", "invalid payload")):
        dead = await store.job(id)
        assert dead
        assert (dead.state, dead.reason, dead.ended_by) == (JobState.DEAD, reason, None)
    for letter in await store.dead():
        assert await store.requeue_dead(letter.number)
    for id in ("a", "b"):
        queued = await store.job(id)
        assert queued
        assert (queued.state, queued.reason) == (JobState.QUEUED, None)


async def test_burying_again_makes_no_second_letter(store: FullStore) -> None:
    job = await submitted(store, "a")
    under = await opened(store, job)
    await store.bury(job, under, reason="one")
    await opened(store, await unordered(store, "b"))
    assert isinstance(await store.bury(job, under, reason="two"), Receipt)
    assert [letter.reason for letter in await store.dead()] == ["one"]


async def test_only_the_mark_may_bury_a_job(store: FullStore) -> None:
    job = await submitted(store, "a")
    stale = await opened(store, job, fence(5))
    await opened(store, job, fence(6))
    for under in (stale, fence(6, "other"), fence(7)):
        assert await store.bury(job, under, reason="no") == Refused(6)
    assert await store.dead() == []
    assert await state(store, "a") is JobState.RUNNING


async def test_a_committed_job_cannot_be_buried(store: FullStore) -> None:
    job = await submitted(store, "a")
    under = fence()
    await committed(store, job, under=under)
    assert isinstance(await store.bury(job, under, reason="no"), Receipt)
    assert await store.dead() == []
    assert await state(store, "a") is JobState.COMMITTED


async def test_a_dead_ordered_job_does_not_let_the_next_one_through(store: FullStore) -> None:
    a, b = await submitted(store, "a"), await submitted(store, "b")
    await buried(store, a)
    assert not isinstance(await store.open(b, fence()), Opened)
    key = await store.key("t", "k")
    assert key
    assert key.committed_sequence == 0


@pytest.mark.parametrize("raw", [b"", b"\xff\x00 no message", b"x" * 100_000])
async def test_a_message_without_an_envelope_is_buried_as_it_came(store: FullStore, raw: bytes) -> None:
    assert isinstance(await store.bury_message(raw, None, reason="malformed", detail="why"), Receipt)
    (letter,) = await store.dead()
    assert (letter.id, letter.type, letter.key, letter.raw) == (None, None, None, raw)
    assert (letter.reason, letter.detail, letter.failures) == ("malformed", "why", ())


async def test_burying_a_message_leaves_the_job_known_under_its_id_alone(store: FullStore) -> None:
    job = await submitted(store, "a")
    under = await opened(store, job)
    before = await store.job("a")
    other = envelope("a", body=b'"other"')
    await store.bury_message(other.pack(), other, reason="conflict")
    assert await store.job("a") == before
    (letter,) = await store.dead()
    assert (letter.id, letter.type, letter.key, letter.raw) == ("a", "t", "k", other.pack())
    await committed(store, job, under=under)


async def test_burying_the_same_message_again_makes_no_second_letter(store: FullStore) -> None:
    for raw, reason in ((b"a", "malformed"), (b"a", "malformed"), (b"b", "malformed"), (b"a", "too large")):
        assert isinstance(await store.bury_message(raw, None, reason=reason), Receipt)
    assert [(letter.raw, letter.reason) for letter in await store.dead()] == [(b"a", "malformed"), (b"b", "malformed")]


async def test_different_messages_with_the_same_body_make_a_letter_each(store: FullStore) -> None:
    jobs = [await submitted(store, id, body=b"same") for id in "ab"]
    for job in jobs:
        await store.bury_message(job.body, job, reason="sequence skipped")
    assert [letter.id for letter in await store.dead()] == ["a", "b"]


async def test_a_shelved_message_that_is_buried_is_in_flight_no_more_and_its_namesake_is(store: FullStore) -> None:
    job, other = await submitted(store, "a"), envelope("a", body=b'"other"')
    await store.shelve(job, Partition("t", 0))
    await store.bury_message(other.body, other, reason="conflict")
    assert [shelved.envelope for shelved in await store.shelved(Partition("t", 0), limit=10)] == [job]
    await store.bury_message(job.body, job, reason="why")
    assert await store.shelved(Partition("t", 0), limit=10) == []


async def test_a_job_whose_skipped_message_is_buried_has_ended(store: FullStore) -> None:
    job = await submitted(store, "a")
    await store.shelve(job, Partition("t", 0))
    await store.skip_gap("t", "k", before=2)
    assert isinstance(await store.open(job, fence()), Skipped)
    await store.bury_message(job.pack(), job, reason="skipped")
    assert await state(store, "a") is JobState.DEAD
    assert isinstance(await store.open(job, fence()), Duplicate)
    assert await store.shelved(Partition("t", 0), limit=10) == []


async def test_progress_is_noted_under_the_mark_only(store: FullStore) -> None:
    job = await submitted(store, "a")
    stale = await opened(store, job, fence(5))
    live = await opened(store, job, fence(6))
    assert await store.progress(job, live, fraction=0.25, message="decoding")
    assert not await store.progress(job, stale, fraction=0.9, message="stale")
    assert not await store.progress(job, fence(6, "other"), fraction=0.9, message="stale")
    record = await store.job("a")
    assert record
    assert (record.progress, record.message) == (0.25, "decoding")


async def test_a_job_that_was_never_opened_has_no_progress(store: FullStore) -> None:
    assert not await store.progress(await submitted(store, "a"), fence(), fraction=0.5, message="x")


async def test_waiting_for_a_job_ends_when_it_commits_in_another_process(store_harness: Harness[FullStore]) -> None:
    async with store_harness.process() as watcher, store_harness.process() as worker:
        job = await submitted(worker, "a")
        under = await opened(worker, job)
        waiting = asyncio.create_task(watcher.wait_finished(["a"], store_harness.ttl))
        await watcher.counts()
        await a_moment()
        assert not waiting.done()
        await committed(worker, job, under=under)
        await soon(waiting)


async def test_waiting_for_a_job_ends_when_it_dies_or_progresses(store: FullStore) -> None:
    job = await submitted(store, "a")
    under = await opened(store, job)
    waiting = asyncio.create_task(store.wait_finished(["a"], 3600))
    percent = 0
    # Which of these is the first that it hears of is told by nothing: it may look by a way of its own.
    while not waiting.done():
        percent += 1
        assert percent < 100
        await store.progress(job, under, fraction=percent / 100, message="on")
        await a_moment()
    waiting = asyncio.create_task(store.wait_finished(["a"], 3600))
    await store.counts()
    await store.bury(job, under, reason="hopeless")
    await soon(waiting)


async def test_waiting_for_many_jobs_ends_when_one_of_them_changes_in_another_process(
    store_harness: Harness[FullStore],
) -> None:
    many = [f"j{number}" for number in range(1000)]
    async with store_harness.process() as watcher, store_harness.process() as worker:
        for id in many[:2]:
            await submitted(worker, id, key=id)
        job = await submitted(worker, "last")
        under = await opened(worker, job)
        waiting = asyncio.create_task(watcher.wait_finished([*many, "last"], 3600))
        await watcher.counts()
        await a_moment()
        assert not waiting.done()
        await committed(worker, job, under=under)
        await soon(waiting)
        # One that has ended already is enough, and nobody at all is waited for no longer than is said.
        await soon(watcher.wait_finished(["last", *many], 3600))
        await soon(watcher.wait_finished([], 0.0))


async def test_waiting_for_a_job_that_has_ended_ends_at_once(store: FullStore) -> None:
    await committed(store, await submitted(store, "a"))
    await soon(store.wait_finished(["a"], 3600))


async def test_waiting_for_a_job_ends_after_its_timeout(store: FullStore, store_harness: Harness[FullStore]) -> None:
    await submitted(store, "a")
    waits = [asyncio.create_task(store.wait_finished([id], store_harness.ttl)) for id in ("a", "unknown")]
    await store.counts()
    await store_harness.elapse(store_harness.ttl * 1.01)
    await soon(asyncio.gather(*waits))
