"""Starts of a job: which count against it, and which are not due yet."""

from __future__ import annotations

import pytest

from jobkit.ports.rules import TAKE_OVERS_KEPT
from jobkit.ports.store import Committed, Early, Opened
from jobkit.testing.conformance.harness import FullStore, Harness
from jobkit.testing.conformance.values import NOTHING, buried, failure, fence, opened, submitted, unordered


async def test_a_start_that_nobody_reports_the_end_of_is_silent(store: FullStore) -> None:
    job = await unordered(store, "a")
    for number in range(4):
        answer = await store.open(job, fence(owner=f"worker {number}"))
        assert isinstance(answer, Opened)
        assert (answer.opens, answer.silent) == (number + 1, number)


async def test_opening_again_under_the_same_fence_is_the_same_start(store: FullStore) -> None:
    job = await unordered(store, "a")
    await store.open(job, fence(owner="one"))
    under = fence(owner="two")
    first = await store.open(job, under)
    assert isinstance(first, Opened)
    assert first.silent == 1
    assert await store.open(job, under) == first


async def test_who_comes_back_to_a_job_has_lived(store: FullStore) -> None:
    job = await unordered(store, "a")
    for _ in range(3):
        answer = await store.open(job, fence(owner="one"))
        assert isinstance(answer, Opened)
        assert answer.silent == 0


async def test_a_start_that_was_interrupted_is_not_silent(store: FullStore) -> None:
    job = await unordered(store, "a")
    for number in range(3):
        under = fence(owner=f"worker {number}")
        answer = await store.open(job, under)
        assert isinstance(answer, Opened)
        assert answer.silent == 0
        await store.interrupted(job, under)
        await store.interrupted(job, under)


async def test_an_interruption_may_be_told_after_others_have_taken_over(store: FullStore) -> None:
    job = await unordered(store, "a")
    fences = [fence(owner=f"worker {number}") for number in range(3)]
    for under in fences:
        await opened(store, job, under)
    await store.interrupted(job, fences[0])
    await store.interrupted(job, fences[0])
    answer = await store.open(job, fence(owner="the last"))
    assert isinstance(answer, Opened)
    assert answer.silent == 2
    for under in fences:
        await store.interrupted(job, under)
    again = await store.open(job, fence(owner="the very last"))
    assert isinstance(again, Opened)
    assert again.silent == 1


async def test_a_failed_attempt_reports_the_end_of_its_start(store: FullStore) -> None:
    job = await unordered(store, "a")
    for number in range(1, 4):
        under = fence(owner=f"worker {number}")
        answer = await store.open(job, under)
        assert isinstance(answer, Opened)
        assert answer.silent == 0
        await store.fail(job, under, failure(number))


async def test_an_interruption_of_nothing_changes_nothing(store: FullStore) -> None:
    job = await unordered(store, "a")
    await store.interrupted(job, fence())
    under = await opened(store, job)
    await store.interrupted(job, fence())
    assert isinstance(await store.commit(job, under, NOTHING), Committed)
    before = await store.job("a")
    await store.interrupted(job, under)
    assert await store.job("a") == before


async def test_a_requeued_job_starts_without_a_past(store: FullStore) -> None:
    job = await unordered(store, "a")
    for number in range(3):
        await opened(store, job, fence(owner=f"worker {number}"))
    number = await buried(store, job)
    await store.requeue_dead(number)
    answer = await store.open(job, fence(owner="another"))
    assert isinstance(answer, Opened)
    assert (answer.opens, answer.silent) == (1, 0)


@pytest.mark.parametrize("ordered", [False, True], ids=["unordered", "ordered"])
async def test_a_failed_job_is_not_opened_before_its_next_attempt_is_due(
    store: FullStore, store_harness: Harness[FullStore], ordered: bool
) -> None:
    job = await (submitted if ordered else unordered)(store, "a")
    under = await opened(store, job)
    await store.fail(job, under, failure(1), retry_in=1.5)
    for holder in (under, fence(owner="another"), fence(owner="a third")):
        answer = await store.open(job, holder)
        assert isinstance(answer, Early)
        assert 0 < answer.seconds <= 1.5
    await store_harness.elapse(1.6)
    answer = await store.open(job, fence(owner="another"))
    assert isinstance(answer, Opened)
    # What waited was no start.
    assert (answer.opens, answer.silent) == (2, 0)


async def test_a_job_that_may_be_tried_at_once_is_opened_at_once(store: FullStore) -> None:
    job = await unordered(store, "a")
    await store.fail(job, await opened(store, job), failure(1))
    assert isinstance(await store.open(job, fence()), Opened)


async def test_other_jobs_of_the_key_do_not_wait_for_a_failed_one(store: FullStore) -> None:
    a, b = await unordered(store, "a"), await unordered(store, "b")
    await store.fail(a, await opened(store, a), failure(1), retry_in=600)
    assert isinstance(await store.open(b, fence()), Opened)


async def test_a_requeued_job_is_due_at_once(store: FullStore) -> None:
    job = await unordered(store, "a")
    under = await opened(store, job)
    await store.fail(job, under, failure(1), retry_in=600)
    await store.bury(job, under, reason="enough")
    (letter,) = await store.dead()
    await store.requeue_dead(letter.number)
    assert isinstance(await store.open(job, fence()), Opened)


async def test_who_had_a_job_before_another_took_it_over_is_told(store: FullStore) -> None:
    job = await unordered(store, "a")
    for token, owner in ((1, "ann"), (2, "bob"), (3, "bob"), (4, "cyd")):
        await opened(store, job, fence(token, f"n{token}", owner))
    record = await store.job("a")
    assert record is not None
    assert [(one.owner, one.token) for one in record.take_overs] == [("ann", 1), ("bob", 3)]
    assert record.started_at is not None
    assert record.started_at <= record.take_overs[0].at <= record.take_overs[1].at
    # Who failed has ended its attempt: what comes next takes nothing over.
    under = fence(4, "n4", "cyd")
    await store.fail(job, under, failure(1))
    await opened(store, job, fence(5, "n5", "dan"))
    # And only the last few are kept.
    for token in range(6, 6 + 2 * TAKE_OVERS_KEPT):
        await opened(store, job, fence(token, f"n{token}", f"w{token}"))
    record = await store.job("a")
    assert record is not None
    assert [one.token for one in record.take_overs] == [*range(5 + TAKE_OVERS_KEPT, 5 + 2 * TAKE_OVERS_KEPT)]
    under = fence(99, "n99", "zoe")
    await opened(store, job, under)
    await store.bury(job, under, reason="hopeless")
    (letter,) = await store.dead()
    await store.requeue_dead(letter.number)
    record = await store.job("a")
    assert record is not None
    assert record.take_overs == ()
