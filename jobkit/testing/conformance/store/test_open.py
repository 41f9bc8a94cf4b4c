"""Opening: the mark is set before any work, never falls, and each job is told what it is."""

from __future__ import annotations

import asyncio

import pytest

from jobkit.ports.inspection import JobState
from jobkit.ports.store import Conflict, Duplicate, Gap, Opened, Skipped, Stale, Superseded
from jobkit.testing.conformance.harness import FullStore, Harness
from jobkit.testing.conformance.values import buried, committed, envelope, failure, fence, opened, submitted, unordered


async def mark(store: FullStore, key: str = "k") -> tuple[int, str, str] | None:
    record = await store.key("t", key)
    return None if record is None else (record.token, record.nonce, record.owner)


async def test_opening_sets_the_mark_and_the_job_runs(store: FullStore) -> None:
    job = await submitted(store, "a")
    assert await store.open(job, fence(5, "n5", "me")) == Opened(1, (), 0)
    assert await mark(store) == (5, "n5", "me")
    record = await store.job("a")
    assert record
    assert (record.state, record.owner, record.token, record.opens) == (JobState.RUNNING, "me", 5, 1)
    assert record.started_at is not None


async def test_opening_again_under_the_same_fence_changes_nothing_and_answers_the_same(store: FullStore) -> None:
    job = await submitted(store, "a")
    first = await store.open(job, fence(5))
    before = (await store.job("a"), await store.key("t", "k"))
    assert await store.open(job, fence(5)) == first
    assert (await store.job("a"), await store.key("t", "k")) == before


async def test_opens_counts_new_fences_only_and_failures_come_along(store: FullStore) -> None:
    job = await submitted(store, "a")
    await store.open(job, fence(5))
    await store.open(job, fence(5))
    await store.fail(job, fence(5), failure(1))
    assert await store.open(job, fence(6)) == Opened(2, (failure(1),), 0)
    assert await store.open(job, fence(7)) == Opened(3, (failure(1),), 0)


@pytest.mark.parametrize(("token", "nonce"), [(4, "nonce-4"), (4, "nonce-5"), (5, "another"), (1, "nonce-1")], ids=str)
async def test_a_lower_token_or_the_same_with_another_nonce_is_stale_and_changes_nothing(
    store: FullStore, token: int, nonce: str
) -> None:
    job, other = await submitted(store, "a"), await unordered(store, "b")
    await store.open(job, fence(5, "nonce-5"))
    before = (await store.job("a"), await store.job("b"), await mark(store))
    assert await store.open(job, fence(token, nonce)) == Stale(5)
    assert await store.open(other, fence(token, nonce)) == Stale(5)
    assert (await store.job("a"), await store.job("b"), await mark(store)) == before


async def test_of_many_fences_at_once_the_mark_is_the_highest(store_harness: Harness[FullStore]) -> None:
    async with store_harness.process() as one, store_harness.process() as other:
        job = await unordered(one, "a")
        answers = await asyncio.gather(
            *((one, other)[token % 2].open(job, fence(token)) for token in (3, 9, 1, 7, 5, 10, 2, 8, 6, 4))
        )
        assert (await mark(one) or (0,))[0] == 10
        assert all(isinstance(answer, Opened | Stale) for answer in answers)
        record = await one.job("a")
        assert record
        assert (record.token, record.opens) == (10, sum(isinstance(answer, Opened) for answer in answers))


async def test_two_holders_of_one_token_are_told_apart_by_their_nonce(store: FullStore) -> None:
    job = await unordered(store, "a")
    answers = await asyncio.gather(*(store.open(job, fence(5, f"n{number}")) for number in range(10)))
    assert sum(isinstance(answer, Opened) for answer in answers) == 1
    assert answers.count(Stale(5)) == 9


async def test_keys_and_types_have_marks_of_their_own(store: FullStore) -> None:
    await store.open(await unordered(store, "a", key="k"), fence(50))
    assert isinstance(await store.open(await unordered(store, "b", key="l"), fence(3)), Opened)
    assert isinstance(await store.open(await unordered(store, "c", key="k", type="u"), fence(3)), Opened)


async def test_a_job_that_has_ended_is_a_duplicate_whoever_asks_and_leaves_the_mark(store: FullStore) -> None:
    done, dead = await unordered(store, "done"), await unordered(store, "dead")
    await committed(store, done, under=fence(5))
    await store.bury(dead, await opened(store, dead, fence(6)), reason="hopeless")
    before = await mark(store)
    for job, token in ((done, 1), (done, 99), (dead, 1), (dead, 99)):
        answer = await store.open(job, fence(token))
        assert isinstance(answer, Duplicate)
        assert answer.receipt.job_id == job.id
    assert await mark(store) == before


async def test_a_sequence_too_high_is_a_gap_that_sets_the_mark_but_does_not_run(store: FullStore) -> None:
    jobs = [await submitted(store, id) for id in "abc"]
    assert await store.open(jobs[2], fence(5)) == Gap(1, blocked=False)
    assert await mark(store) == (5, "nonce-5", "somebody")
    record = await store.job("c")
    assert record
    assert (record.state, record.opens) == (JobState.QUEUED, 0)
    assert await store.open(jobs[2], fence(5)) == Gap(1, blocked=False)
    await committed(store, jobs[0], under=fence(6))
    assert await store.open(jobs[2], fence(7)) == Gap(2, blocked=False)


async def test_a_gap_is_blocked_when_the_job_expected_is_dead(store: FullStore) -> None:
    a, b = await submitted(store, "a"), await submitted(store, "b")
    number = await buried(store, a)
    assert await store.open(b, fence()) == Gap(1, blocked=True)
    await store.purge_dead(number)
    assert await store.open(b, fence()) == Gap(1, blocked=True)


async def test_a_gap_is_blocked_when_the_message_of_the_job_expected_is_dead(store: FullStore) -> None:
    a, b = await submitted(store, "a"), await submitted(store, "b")
    await store.bury_message(a.pack(), a, reason="unknown type")
    assert await store.open(b, fence()) == Gap(1, blocked=True)


async def test_a_gap_is_blocked_while_jobs_of_the_key_are_parked(store: FullStore) -> None:
    _, b, c = [await submitted(store, id) for id in "abc"]
    await store.open(b, fence())
    await store.park(b, reason="gap")
    assert await store.open(c, fence()) == Gap(1, blocked=True)


async def test_a_death_on_another_key_blocks_nothing(store: FullStore) -> None:
    await buried(store, await submitted(store, "other", key="other"))
    await submitted(store, "a")
    assert await store.open(await submitted(store, "b"), fence()) == Gap(1, blocked=False)


async def test_jobs_without_a_sequence_ignore_the_keys_order(store: FullStore) -> None:
    await submitted(store, "ordered")
    await committed(store, await unordered(store, "loose"))
    await committed(store, envelope("foreign"))
    record = await store.key("t", "k")
    assert record
    assert (record.submitted_sequence, record.committed_sequence) == (1, 0)


async def test_a_known_id_with_another_body_is_a_conflict_that_sets_the_mark_and_leaves_the_job(
    store: FullStore,
) -> None:
    job = await submitted(store, "a")
    before = await store.job("a")
    other = envelope("a", body=b'{"other": 1}', sequence=1)
    assert await store.open(other, fence(5)) == Conflict("a")
    assert await mark(store) == (5, "nonce-5", "somebody")
    assert await store.job("a") == before
    await committed(store, job, under=fence(6))
    assert await store.open(other, fence(7)) == Conflict("a")


async def test_a_foreign_job_becomes_known_when_it_is_opened(store: FullStore) -> None:
    foreign = envelope("foreign", key="k")
    assert await store.open(foreign, fence(5)) == Opened(1, (), 0)
    record = await store.job("foreign")
    assert record
    assert (record.type, record.key, record.state, record.opens) == ("t", "k", JobState.RUNNING, 1)
    assert await store.open(envelope("foreign", body=b"[]"), fence(6)) == Conflict("foreign")


async def test_a_foreign_job_becomes_known_even_where_it_has_to_wait(store: FullStore) -> None:
    assert await store.open(envelope("foreign", sequence=3), fence()) == Gap(1, blocked=False)
    record = await store.job("foreign")
    assert record
    assert (record.state, record.sequence) == (JobState.QUEUED, 3)


async def test_a_sequence_of_a_foreign_publisher_is_not_given_out_again(store: FullStore) -> None:
    await committed(store, envelope("f1", sequence=1))
    await committed(store, envelope("f2", sequence=2))
    assert (await submitted(store, "own")).sequence == 3


async def test_a_second_job_for_a_sequence_that_is_committed_is_superseded_not_dropped(store: FullStore) -> None:
    await committed(store, await submitted(store, "a"))
    assert await store.open(envelope("other", sequence=1), fence()) == Superseded(1)


async def test_a_skipped_sequence_is_told_with_the_one_that_is_next(store: FullStore) -> None:
    a, _, c = [await submitted(store, id) for id in "abc"]
    await store.skip_gap("t", "k", before=3)
    under = fence()
    assert await store.open(a, under) == Skipped(3)
    assert (await mark(store) or (0,))[0] == under.token
    assert isinstance(await store.open(c, fence()), Opened)


async def test_the_sequence_a_job_was_accepted_with_counts_not_the_one_a_message_tells(store: FullStore) -> None:
    await submitted(store, "a")
    await submitted(store, "b")
    assert await store.open(envelope("b", sequence=1), fence()) == Gap(1, blocked=False)
    assert await store.open(envelope("b"), fence()) == Gap(1, blocked=False)


async def test_an_envelope_without_a_key_cannot_be_opened(store: FullStore) -> None:
    with pytest.raises(ValueError, match="key"):
        await store.open(envelope("a", key=None), fence())
