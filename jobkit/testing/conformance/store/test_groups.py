"""Groups: the transaction that ends the last member, and no other, releases `then`, or dead-letters it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable

import pytest

from jobkit.errors import JobConflict
from jobkit.model.envelope import Envelope
from jobkit.model.job_group import MEMBERS_FAILED, WHEN_RELEASED, NewGroup, OnFailure
from jobkit.ports.groups import GroupMember, GroupRecord
from jobkit.ports.inspection import JobState
from jobkit.ports.store import Accepted, Committed, Effects, Known, NewJob
from jobkit.testing.conformance.harness import FullStore, Harness
from jobkit.testing.conformance.values import (
    buried,
    cancel,
    committed,
    envelope,
    fence,
    opened,
    outbox_ids,
    published,
    unordered,
)

LONG = 100_000.0


def closing(
    id: str = "then", members: int = 2, on_failure: OnFailure = "wait", *, held: bool = False, ordered: bool = False
) -> NewJob:
    job = envelope(id, key=f"key of {id}")
    return NewJob(job, ordered, at=WHEN_RELEASED, closes=NewGroup(members, on_failure, held))


def member(id: str, of: str = "then", *, held: bool = False, expires_after: float | None = None) -> NewJob:
    at = WHEN_RELEASED if held else None
    return NewJob(envelope(id, key=f"key of {id}"), False, at=at, expires_after=expires_after, member_of=of)


async def grouped(store: FullStore, *ids: str, then: str = "then", on_failure: OnFailure = "wait") -> list[Envelope]:
    """Submit a group of these members, and return their envelopes."""
    answers = await store.submit([closing(then, len(ids), on_failure), *(member(id, then) for id in ids)])
    assert all(isinstance(answer, Accepted) for answer in answers)
    return [answer.envelope for answer in answers[1:] if isinstance(answer, Accepted)]


async def known(store: FullStore, id: str = "then") -> GroupRecord:
    found = await store.group(id)
    assert found is not None
    return found


async def state(store: FullStore, id: str = "then") -> JobState:
    record = await store.job(id)
    assert record is not None
    return record.state


async def ended(answer: Committed) -> list[str]:
    return [entry.envelope.id for entry in answer.outbox]


# ---- the last member -------------------------------------------------------------------------------------------------


async def test_the_commit_of_the_last_member_releases_then(store: FullStore) -> None:
    one, two = await grouped(store, "one", "two")
    await published(store)
    assert await ended(await committed(store, one)) == []
    assert await state(store) is JobState.SCHEDULED
    assert await outbox_ids(store) == []
    answer = await committed(store, two)
    assert await ended(answer) == ["then"]
    assert await outbox_ids(store) == ["then"]
    assert await state(store) is JobState.QUEUED
    await committed(store, answer.outbox[0].envelope)


async def test_a_commit_whose_answer_was_lost_tells_of_then_again(store: FullStore) -> None:
    (one,) = await grouped(store, "one")
    await published(store)
    under = await opened(store, one)
    await store.commit(one, under, Effects())
    again = await store.commit(one, under, Effects())
    assert isinstance(again, Committed)
    assert await ended(again) == ["then"]
    assert await outbox_ids(store) == ["then"]
    assert (await known(store)).committed == 1


async def test_members_are_counted_as_they_end(store: FullStore) -> None:
    jobs = await grouped(store, *"abcde")
    assert await known(store) == GroupRecord("then", None, "wait", True, False, False, 5, 0, 0, 0, 0, 0)
    await committed(store, jobs[0])
    await buried(store, jobs[1])
    await cancel(store, "c")
    group = await known(store)
    assert (group.unended, group.committed, group.dead, group.cancelled, group.expired) == (2, 1, 1, 1, 0)
    assert (group.members, group.failed) == (5, 2)
    assert group.progress == pytest.approx(0.6)


async def test_then_gets_its_sequence_when_it_is_released(store: FullStore) -> None:
    await store.submit([closing(members=1, ordered=True), member("one")])
    await store.submit([NewJob(envelope("other", key="key of then"), True)])
    answer = await committed(store, envelope("one", key="key of one"))
    (entry,) = answer.outbox
    assert entry.envelope.sequence == 2
    record = await store.job("then")
    assert record
    assert record.sequence == 2


async def test_a_retried_member_is_counted_once(store: FullStore) -> None:
    one, _ = await grouped(store, "one", "two")
    await store.snooze(one, await opened(store, one), after=0.0)
    await store.release_due(limit=10)
    await committed(store, one)
    assert (await known(store)).unended == 1


async def test_a_job_of_no_group_is_none(store: FullStore) -> None:
    await unordered(store, "alone")
    assert await store.group("alone") is None
    assert await store.members("alone") == []
    record = await store.job("alone")
    assert record
    assert (record.group, record.parent) == (None, None)


# ---- members that fail -----------------------------------------------------------------------------------------------


async def test_then_waits_for_a_dead_member_until_that_is_requeued_and_commits(store: FullStore) -> None:
    one, two = await grouped(store, "one", "two")
    letter = await buried(store, one)
    await committed(store, two)
    assert await state(store) is JobState.SCHEDULED
    assert await store.requeue_dead(letter)
    assert (await known(store)).unended == 1
    assert await ended(await committed(store, one)) == ["then"]
    assert (await known(store)).committed == 2


@pytest.mark.parametrize("on_failure", ["run", "die", "wait"])
async def test_what_becomes_of_then_once_none_can_commit_any_more(store: FullStore, on_failure: OnFailure) -> None:
    (one,) = await grouped(store, "one", on_failure=on_failure)
    letter = await buried(store, one)
    if on_failure == "wait":
        assert await state(store) is JobState.SCHEDULED
        assert await store.purge_dead(letter)
    expected = JobState.QUEUED if on_failure == "run" else JobState.DEAD
    assert await state(store) is expected
    assert ("then" in await outbox_ids(store)) is (on_failure == "run")
    letters = {letter.id: letter.reason for letter in await store.dead()}
    assert letters.get("then") == (None if on_failure == "run" else MEMBERS_FAILED)
    assert (await known(store)).settled


@pytest.mark.parametrize("on_failure", ["run", "die", "wait"])
async def test_members_that_are_cancelled_or_expire_have_failed(
    store_harness: Harness[FullStore], store: FullStore, on_failure: OnFailure
) -> None:
    jobs = [closing(members=3, on_failure=on_failure), member("one"), member("two"), member("three", expires_after=5.0)]
    await store.submit(jobs)
    await committed(store, jobs[1].envelope)
    await cancel(store, "two")
    await store_harness.elapse(10.0)
    assert await state(store) is JobState.SCHEDULED
    assert [job.id for job in await store.expire_due(limit=10)] == ["three"]
    assert await state(store) is (JobState.QUEUED if on_failure == "run" else JobState.DEAD)
    group = await known(store)
    assert (group.unended, group.committed, group.cancelled, group.expired) == (0, 1, 1, 1)


@pytest.mark.parametrize("on_failure", ["run", "die", "wait"])
async def test_members_that_end_in_every_way_at_once_settle_the_group_once(
    store_harness: Harness[FullStore], on_failure: OnFailure
) -> None:
    """Whichever of them is the last: in the end it is as if they had come one after another."""
    async with store_harness.process() as one, store_harness.process() as other:
        for round in range(4):
            then = f"then{round}"
            jobs = [member(f"{way}{round}", then) for way in ("committed", "dead", "cancelled")]
            jobs.append(member(f"expired{round}", then, expires_after=5.0))
            await one.submit([closing(then, len(jobs), on_failure), *jobs])
            committed_job, dead_job, cancelled_job, _ = (job.envelope for job in jobs)
            fences = [await opened(one, committed_job), await opened(one, dead_job)]
            await store_harness.elapse(10.0)
            calls: list[Awaitable[object]] = [
                one.commit(committed_job, fences[0], Effects()),
                other.bury(dead_job, fences[1], reason="hopeless"),
                other.cancel([cancelled_job.id, committed_job.id], by="ann", reason=""),
                one.expire_due(limit=10),
                one.cancel([dead_job.id], by="ann", reason=""),
            ]
            await asyncio.gather(*calls[round:], *calls[:round])
            ends = Counter([await state(one, job.envelope.id) for job in jobs])
            group = await known(one, then)
            told = (group.committed, group.dead, group.cancelled, group.expired)
            assert told == tuple(
                ends[end] for end in (JobState.COMMITTED, JobState.DEAD, JobState.CANCELLED, JobState.EXPIRED)
            )
            # One of them was cancelled and one expired: no group waits for those.
            waits = on_failure == "wait" and ends[JobState.DEAD]
            end = {"run": JobState.QUEUED, "die": JobState.DEAD}.get(on_failure, JobState.DEAD)
            assert await state(one, then) is (JobState.SCHEDULED if waits else end)
            assert (await outbox_ids(one)).count(then) == (on_failure == "run")
            letters = [letter.reason for letter in await one.letters(then)]
            assert letters == [MEMBERS_FAILED] * (end is JobState.DEAD and not waits)


async def test_a_dead_then_can_be_requeued(store: FullStore) -> None:
    await grouped(store, "one", on_failure="die")
    await cancel(store, "one")
    (letter,) = await store.dead()
    assert await store.requeue_dead(letter.number)
    assert await state(store) is JobState.QUEUED
    await committed(store, envelope("then", key="key of then"))


async def test_an_ordered_then_that_is_requeued_has_its_keys_next_sequence(store: FullStore) -> None:
    """It died before it was due, so it had none."""
    (earlier,) = await store.submit([NewJob(envelope("earlier", key="key of then"), ordered=True)])
    assert isinstance(earlier, Accepted)
    await store.submit([closing(members=1, on_failure="die", ordered=True), member("one")])
    await cancel(store, "one")
    (letter,) = await store.dead()
    assert await store.requeue_dead(letter.number)
    entry = (await store.outbox(older_than=-1, limit=10))[-1]
    assert (entry.envelope.id, entry.envelope.sequence) == ("then", 2)
    await committed(store, earlier.envelope)
    await committed(store, entry.envelope)


async def test_what_becomes_of_a_member_later_releases_nothing_again(store: FullStore) -> None:
    (one,) = await grouped(store, "one", on_failure="run")
    letter = await buried(store, one)
    await committed(store, envelope("then", key="key of then"))
    await published(store)
    assert await store.requeue_dead(letter)
    await published(store)
    await committed(store, one)
    assert await state(store) is JobState.COMMITTED
    assert await outbox_ids(store) == []
    assert (await known(store)).committed == 1


async def test_a_then_that_was_cancelled_is_not_released(store: FullStore) -> None:
    one, two = await grouped(store, "one", "two")
    await published(store)
    assert [answer.cancelled for answer in await cancel(store, "then")] == [True]
    await committed(store, one)
    assert await ended(await committed(store, two)) == []
    assert await state(store) is JobState.CANCELLED
    assert await outbox_ids(store) == []


async def test_members_that_are_cancelled_together_release_then_once(store: FullStore) -> None:
    await grouped(store, *"abcdefgh", on_failure="run")
    await published(store)
    await cancel(store, *"abcdefgh")
    assert await outbox_ids(store) == ["then"]
    assert (await known(store)).cancelled == 8


# ---- declaring -------------------------------------------------------------------------------------------------------


async def test_submitting_a_group_again_changes_nothing(store: FullStore) -> None:
    jobs = [closing(), member("one"), member("two")]
    await store.submit(jobs)
    assert all(isinstance(answer, Known) for answer in await store.submit(jobs))
    assert (await known(store)).unended == 2
    await committed(store, jobs[1].envelope)
    await store.submit(jobs)
    assert await ended(await committed(store, jobs[2].envelope)) == ["then"]


async def test_a_job_that_is_known_otherwise_makes_no_group(store: FullStore) -> None:
    await unordered(store, "one", key="key of one")
    with pytest.raises(JobConflict):
        await store.submit([closing(members=2), member("two"), member("one")])
    assert await store.job("then") is None
    assert await store.job("two") is None
    await unordered(store, "then", key="key of then")
    with pytest.raises(JobConflict):
        await store.submit([closing(members=1), member("two")])
    assert await store.job("two") is None


async def test_a_group_takes_no_more_members_than_it_has(store: FullStore) -> None:
    await grouped(store, "one", "two")
    for job in (member("three"), member("four", of="nothing")):
        with pytest.raises(JobConflict):
            await store.submit([job])
    assert await store.job("three") is None


async def test_members_that_are_held_begin_when_the_last_is_declared(store: FullStore) -> None:
    await store.submit([closing(members=5, held=True), member("0", held=True), member("1", held=True)])
    assert not (await known(store)).declared
    await store.submit([closing(members=5, held=True), member("2", held=True), member("3", held=True)])
    assert await store.release_due(limit=10) == []
    assert await outbox_ids(store) == []
    await store.submit([member("4", held=True)])
    assert (await known(store)).declared
    assert [entry.envelope.id for entry in await store.release_due(limit=2)] == ["0", "1"]
    assert [entry.envelope.id for entry in await store.release_due(limit=2)] == ["2", "3"]
    assert [entry.envelope.id for entry in await store.release_due(limit=2)] == ["4"]
    assert await store.release_due(limit=2) == []
    assert await outbox_ids(store) == list("01234")
    (answer, _) = await store.submit([closing(members=5, held=True), member("4", held=True)])
    assert isinstance(answer, Known)
    for id in "01234":
        await committed(store, envelope(id, key=f"key of {id}"))
    assert (await outbox_ids(store))[-1] == "then"


async def test_then_is_not_released_before_all_are_declared(store: FullStore) -> None:
    await store.submit([closing(members=2, on_failure="run", held=True), member("one", held=True)])
    await cancel(store, "one")
    assert await state(store) is JobState.SCHEDULED
    await store.submit([member("two", held=True)])
    assert await state(store) is JobState.SCHEDULED
    await cancel(store, "two")
    assert await state(store) is JobState.QUEUED


async def test_what_was_never_declared_whole_is_dropped(store_harness: Harness[FullStore], store: FullStore) -> None:
    await store.submit([closing(members=3, held=True), member("one", held=True), member("two", held=True)])
    await store.prune(older_than=LONG * 100, keep_at_most=1_000)
    assert await state(store, "one") is JobState.SCHEDULED
    await store_harness.elapse(LONG)
    await store.prune(older_than=LONG * 100, keep_at_most=1_000, batch=2)
    assert await state(store, "one") is JobState.CANCELLED
    with pytest.raises(JobConflict):
        await store.submit([member("three", held=True)])
    await store.prune(older_than=LONG * 100, keep_at_most=1_000, batch=2)
    assert await state(store) is JobState.CANCELLED
    group = await known(store)
    assert (group.abandoned, group.cancelled) == (True, 2)
    assert await store.release_due(limit=10) == []


async def test_members_are_read_in_pages(store: FullStore) -> None:
    one, *_ = await grouped(store, *"abcdefg")
    await store.commit(one, await opened(store, one), Effects(result=b'"done"'))
    found: list[GroupMember] = []
    after = 0
    while page := await store.members("then", after=after, limit=3):
        assert len(page) <= 3
        found += page
        after = page[-1].number
    assert [one.id for one in found] == list("abcdefg")
    assert (found[0].state, found[0].result, found[0].type, found[0].key) == (
        JobState.COMMITTED,
        b'"done"',
        "t",
        "key of a",
    )
    assert found[1].result is None


async def test_groups_are_listed_from_the_last_id_on_a_page_at_a_time(store: FullStore) -> None:
    assert list(await store.groups()) == []
    ids = ["a", "b", "Z", "é", "b2"]
    for id in ids:
        await store.submit([closing(id, 1), member(f"m{id}", id)])
    await unordered(store, "no group")
    found, below = list[GroupRecord](), None
    while page := await store.groups(below=below, limit=2):
        assert len(page) <= 2
        found += page
        below = page[-1].id
    assert [group.id for group in found] == ["é", "b2", "b", "a", "Z"]
    assert found[0] == await store.group("é")


# ---- in a commit -----------------------------------------------------------------------------------------------------


async def test_a_commit_makes_a_group(store: FullStore) -> None:
    parent = await unordered(store, "parent")
    await published(store)
    effects = Effects(follow_ups=[closing(), member("one"), member("two")])
    answer = await committed(store, parent, effects)
    assert await ended(answer) == ["one", "two"]
    assert [group.id for group in await store.groups_of("parent")] == ["then"]
    record = await store.job("one")
    assert record
    assert (record.group, record.parent) == ("then", "parent")
    then = await store.job("then")
    assert then
    assert then.due_at is None
    await committed(store, envelope("one", key="key of one"))
    assert await ended(await committed(store, envelope("two", key="key of two"))) == ["then"]


async def test_a_commit_with_a_member_that_is_known_otherwise_writes_nothing(store: FullStore) -> None:
    await unordered(store, "one", key="key of one")
    parent = await unordered(store, "parent")
    under = await opened(store, parent)
    with pytest.raises(JobConflict):
        await store.commit(parent, under, Effects(follow_ups=[closing(), member("two"), member("one")]))
    assert await state(store, "parent") is JobState.RUNNING
    assert await store.job("two") is None
    assert await store.group("then") is None


async def test_a_member_that_makes_a_group_hands_on_its_place(store: FullStore) -> None:
    one, two = await grouped(store, "one", "two", then="outer")
    await committed(store, two)
    inner = [closing("inner", 1), member("leaf", of="inner")]
    await committed(store, one, Effects(follow_ups=inner))
    outer = await known(store, "outer")
    assert (outer.unended, outer.committed, outer.members) == (1, 2, 3)
    members = await store.members("outer")
    assert [(found.id, found.closes) for found in members] == [("one", False), ("two", False), ("inner", True)]
    answer = await committed(store, envelope("leaf", key="key of leaf"))
    assert await ended(answer) == ["inner"]
    assert await state(store, "outer") is JobState.SCHEDULED
    assert await ended(await committed(store, answer.outbox[0].envelope)) == ["outer"]


async def test_a_then_that_dies_ends_as_a_member(store: FullStore) -> None:
    (one,) = await grouped(store, "one", then="outer", on_failure="die")
    await committed(store, one, Effects(follow_ups=[closing("inner", 1, "die"), member("leaf", of="inner")]))
    await cancel(store, "leaf")
    assert await state(store, "inner") is JobState.DEAD
    assert await state(store, "outer") is JobState.DEAD
    assert (await known(store, "outer")).dead == 1


# ---- retention -------------------------------------------------------------------------------------------------------


async def test_a_group_is_remembered_until_then_is_forgotten(
    store_harness: Harness[FullStore], store: FullStore
) -> None:
    one, two = await grouped(store, "one", "two")
    await committed(store, one)
    await cancel(store, "then")
    await published(store)
    await store_harness.elapse(LONG)
    for _ in range(2):
        await store.prune(older_than=1.0, keep_at_most=0)
    assert await store.job("one") is not None
    assert await store.job("then") is not None
    await committed(store, two, under=fence(10_000))
    for _ in range(3):
        await store_harness.elapse(LONG)
        await store.prune(older_than=1.0, keep_at_most=0)
    assert [await store.job(id) for id in ("one", "two", "then")] == [None, None, None]
    assert await store.group("then") is None
