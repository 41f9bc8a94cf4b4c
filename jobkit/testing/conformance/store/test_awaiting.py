"""A job that waits for its own group: put aside as that is made, and begun anew as its last member ends."""

from __future__ import annotations

from dataclasses import replace

import pytest

from jobkit.errors import JobConflict
from jobkit.model.envelope import Envelope
from jobkit.model.fence import Fence
from jobkit.model.job_group import MEMBERS_FAILED, NOT_AWAITED, NewGroup, OnFailure
from jobkit.model.notice import Notice
from jobkit.model.tenancy import Tenancy
from jobkit.ports.checkpoints import Checkpoint
from jobkit.ports.groups import GroupRecord
from jobkit.ports.inspection import JobState
from jobkit.ports.store import Duplicate, NewJob, Opened, Refused, Suspended
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
    submitted,
    unordered,
)

LONG = 100_000.0


def member(id: str, of: str = "film") -> NewJob:
    return NewJob(envelope(id, key=f"key of {id}"), False, member_of=of)


async def suspended(
    store: FullStore, *ids: str, on_failure: OnFailure = "wait", job: Envelope | None = None
) -> tuple[Fence, Envelope]:
    """Have a job wait for these members; return what it was opened under, and its envelope."""
    job = job or await unordered(store, "film", key="film")
    await published(store)
    under = await opened(store, job)
    answer = await store.suspend(job, under, members=[member(id, job.id) for id in ids], on_failure=on_failure)
    assert isinstance(answer, Suspended)
    assert answer.receipt.job_id == job.id
    assert [entry.envelope.id for entry in answer.outbox] == list(ids)
    return under, job


async def state_of(store: FullStore, id: str = "film") -> JobState:
    record = await store.job(id)
    assert record is not None
    return record.state


async def test_the_job_waits_and_its_members_go_out(store: FullStore) -> None:
    await suspended(store, "one", "two")
    assert await outbox_ids(store) == ["one", "two"]
    assert await store.group("film") == GroupRecord("film", "film", "wait", True, False, False, 2, 0, 0, 0, 0, 0)
    record = await store.job("film")
    assert record
    assert (record.state, record.due_at, record.opens) == (JobState.SCHEDULED, None, 0)
    one = await store.job("one")
    assert one
    assert (one.group, one.parent) == ("film", "film")
    assert await store.release_due(limit=10) == []


async def test_a_delivery_of_one_that_waits_is_settled(store: FullStore) -> None:
    _, job = await suspended(store, "one")
    answer = await store.open(job, fence())
    assert isinstance(answer, Duplicate)
    assert (answer.receipt.job_id, answer.receipt.kind) == ("film", "scheduled")


async def test_the_end_of_the_last_member_has_it_begin_anew(store: FullStore) -> None:
    _, job = await suspended(store, "one", "two")
    assert list((await committed(store, envelope("one", key="key of one"))).outbox) == []
    answer = await committed(store, envelope("two", key="key of two"))
    assert [entry.envelope.id for entry in answer.outbox] == ["film"]
    assert await state_of(store) is JobState.QUEUED
    await committed(store, job)
    assert [one.id for one in await store.members("film")] == ["one", "two"]


async def test_what_it_kept_is_there_when_it_begins_anew(store: FullStore) -> None:
    job = await unordered(store, "film", key="film")
    under = await opened(store, job)
    plan = Checkpoint("plan", 1, b"[1,2]")
    await store.save_checkpoint(job, under, plan)
    await store.suspend(job, under, members=[member("one")], on_failure="wait")
    await committed(store, envelope("one", key="key of one"))
    await opened(store, job)
    assert [(one.step, one.value) for one in await store.checkpoints("film")] == [("plan", b"[1,2]")]


async def test_asking_again_changes_nothing(store: FullStore) -> None:
    under, job = await suspended(store, "one")
    answer = await store.suspend(job, under, members=[member("other")], on_failure="run")
    assert isinstance(answer, Suspended)
    assert list(answer.outbox) == []
    assert await store.job("other") is None
    assert [one.id for one in await store.members("film")] == ["one"]


async def test_members_of_a_tenant_take_turns(store: FullStore) -> None:
    job = await unordered(store, "film", key="film")
    members = [*(replace(member(id), tenancy=Tenancy("ann", 1)) for id in ("one", "two")), member("three")]
    answer = await store.suspend(job, await opened(store, job), members=members, on_failure="wait")
    assert isinstance(answer, Suspended)
    assert [entry.envelope.id for entry in answer.outbox] == ["one", "three"]
    released = (await committed(store, envelope("one", key="key of one"))).outbox
    assert [entry.envelope.id for entry in released] == ["two"]
    await committed(store, envelope("two", key="key of two"))
    released = (await committed(store, envelope("three", key="key of three"))).outbox
    assert [entry.envelope.id for entry in released] == ["film"]


async def test_what_becomes_of_a_member_is_told(store: FullStore) -> None:
    job = await unordered(store, "film", key="film")
    notice = Notice(id="n", type="told", key="x", body="{}", inside=(), on=("cancelled",))
    noticed = replace(member("one"), envelope=replace(member("one").envelope, notices=(notice,)))
    answer = await store.suspend(job, await opened(store, job), members=[noticed], on_failure="wait")
    assert isinstance(answer, Suspended)
    await cancel(store, "one")
    assert await store.job("n.cancelled") is not None


async def test_a_stale_holder_is_refused_and_makes_no_group(store: FullStore) -> None:
    job = await unordered(store, "film", key="film")
    stale = await opened(store, job)
    await opened(store, job)
    answer = await store.suspend(job, stale, members=[member("one")], on_failure="wait")
    assert isinstance(answer, Refused)
    assert await store.group("film") is None
    assert await store.job("one") is None


async def test_one_that_was_cancelled_meanwhile_is_refused(store: FullStore) -> None:
    job = await unordered(store, "film", key="film")
    under = await opened(store, job)
    await cancel(store, "film")
    assert isinstance(await store.suspend(job, under, members=[member("one")], on_failure="wait"), Refused)
    assert await store.job("one") is None


async def test_a_job_in_an_order_cannot_wait(store: FullStore) -> None:
    job = await submitted(store, "film", key="film")
    under = await opened(store, job)
    with pytest.raises(ValueError, match="sequence"):
        await store.suspend(job, under, members=[member("one")], on_failure="wait")
    assert await store.job("one") is None


async def test_a_member_that_is_known_is_a_conflict_and_nothing_stands(store: FullStore) -> None:
    await unordered(store, "one", key="key of one")
    job = await unordered(store, "film", key="film")
    under = await opened(store, job)
    with pytest.raises(JobConflict):
        await store.suspend(job, under, members=[member("new"), member("one")], on_failure="wait")
    assert await state_of(store) is JobState.RUNNING
    assert await store.job("new") is None
    assert await store.group("film") is None


async def test_it_waits_once(store: FullStore) -> None:
    _, job = await suspended(store, "one")
    await committed(store, envelope("one", key="key of one"))
    under = await opened(store, job)
    with pytest.raises(JobConflict):
        await store.suspend(job, under, members=[member("two")], on_failure="wait")
    assert await state_of(store) is JobState.RUNNING
    assert await store.job("two") is None


async def test_one_that_waits_to_run_begins_whatever_came_of_them(store: FullStore) -> None:
    _, job = await suspended(store, "one", on_failure="run")
    await buried(store, envelope("one", key="key of one"))
    assert await state_of(store) is JobState.QUEUED
    assert isinstance(await store.open(job, fence()), Opened)


async def test_one_that_is_to_die_does_so_where_a_member_failed(store: FullStore) -> None:
    await suspended(store, "one", on_failure="die")
    await buried(store, envelope("one", key="key of one"))
    record = await store.job("film")
    assert record
    assert (record.state, record.reason) == (JobState.DEAD, MEMBERS_FAILED)
    # Requeued, it goes on behind its group.
    await store.requeue_dead((await store.dead(limit=10))[-1].number)
    assert await state_of(store) is JobState.QUEUED


async def test_a_member_of_a_group_keeps_its_place_while_it_waits(store: FullStore) -> None:
    closing = NewJob(envelope("then", key="then"), False, at=float("inf"), closes=NewGroup(1))
    film = NewJob(envelope("film", key="film"), False, member_of="then")
    await store.submit([closing, film])
    _, job = await suspended(store, "one", job=film.envelope)
    outer = await store.group("then")
    assert outer
    assert outer.unended == 1
    await committed(store, envelope("one", key="key of one"))
    answer = await committed(store, job)
    assert [entry.envelope.id for entry in answer.outbox] == ["then"]


async def test_the_members_of_one_that_is_cancelled_go_page_by_page(store: FullStore) -> None:
    _, job = await suspended(store, *"abcde")
    await committed(store, envelope("a", key="key of a"))
    await opened(store, envelope("b", key="key of b"))
    await cancel(store, job.id)
    for _ in range(4):
        await store.prune(older_than=LONG, keep_at_most=1_000, batch=2)
    states = [(await store.job(id)) for id in "abcde"]
    assert [(one.state, one.reason) for one in states if one] == [
        (JobState.COMMITTED, None),
        *[(JobState.CANCELLED, NOT_AWAITED)] * 4,
    ]
    record = await store.job("film")
    assert record
    assert (record.state, record.reason) == (JobState.CANCELLED, "not wanted")


async def test_members_of_one_that_went_on_are_left_alone(store: FullStore) -> None:
    await suspended(store, "one", on_failure="run")
    await buried(store, envelope("one", key="key of one"))
    await store.requeue_dead((await store.dead(limit=10))[-1].number)
    await cancel(store, "film")
    await store.prune(older_than=LONG, keep_at_most=1_000)
    assert await state_of(store, "one") is JobState.QUEUED


async def test_it_is_forgotten_with_its_group(store_harness: Harness[FullStore], store: FullStore) -> None:
    _, job = await suspended(store, "one")
    await committed(store, envelope("one", key="key of one"))
    await committed(store, job)
    for _ in range(4):
        await store_harness.elapse(LONG)
        await store.prune(older_than=1.0, keep_at_most=0)
    assert [await store.job(id) for id in ("one", "film")] == [None, None]
    assert await store.group("film") is None
