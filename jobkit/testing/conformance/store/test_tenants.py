"""Tenants take turns: each has so many places, and what waits for one goes to the outbox as soon as there is one."""

from __future__ import annotations

import pytest

from jobkit.model.envelope import Envelope
from jobkit.model.job_group import WHEN_RELEASED, NewGroup
from jobkit.model.partition import Partition
from jobkit.model.priority import Priority
from jobkit.model.tenancy import Tenancy
from jobkit.model.unique import Unique
from jobkit.ports.inspection import JobState
from jobkit.ports.store import Accepted, Committed, Duplicate, Effects, Known, NewJob
from jobkit.testing.conformance.harness import FullStore, Harness
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
)

HERE = Partition("t", 0)
LONG = 3_600.0


def of(tenant: str, id: str, *, places: int = 2, priority: Priority = Priority.NORMAL, **more: object) -> NewJob:
    """Return a job of a tenant, on a key of its own."""
    job = envelope(id, key=id).with_priority(priority)
    return NewJob(job, ordered=False, tenancy=Tenancy(tenant, places), **more)  # type: ignore[arg-type]


async def asked(store: FullStore, *jobs: NewJob) -> list[bool]:
    """Submit jobs, and return which of them wait."""
    answers = await store.submit(jobs)
    assert all(isinstance(answer, Accepted) for answer in answers), answers
    waits = [isinstance(answer, Accepted) and answer.waits for answer in answers]
    assert waits == [isinstance(answer, Accepted) and answer.position is None for answer in answers]
    return waits


async def waiting(store: FullStore, *ids: str) -> list[str]:
    records = [await store.job(id) for id in ids]
    assert all(
        record and (record.state, record.due_at) == (JobState.SCHEDULED, None)
        for record in records
        if record and record.waits_for_place
    )
    return [record.id for record in records if record and record.waits_for_place]


async def opened_job(store: FullStore, id: str) -> Envelope:
    job = await store.envelope(id)
    assert job is not None
    return job


async def commits(store: FullStore, id: str, effects: Effects = NOTHING) -> list[str]:
    """Commit a job, and return what that released."""
    job = await opened_job(store, id)
    under = await opened(store, job)
    answer = await store.commit(job, under, effects)
    assert isinstance(answer, Committed)
    again = await store.commit(job, under, effects)
    assert isinstance(again, Committed)
    assert list(again.outbox) == list(answer.outbox)
    return [entry.envelope.id for entry in answer.outbox]


# ---- taking turns ----------------------------------------------------------------------------------------------------


async def test_one_who_submits_many_does_not_stop_one_who_submits_one(store: FullStore) -> None:
    assert await asked(store, *(of("many", f"m{n}") for n in range(6))) == [False, False, True, True, True, True]
    assert await asked(store, of("one", "o")) == [False]
    assert await outbox_ids(store) == ["m0", "m1", "o"]
    assert await waiting(store, "m1", "m2", "m5", "o") == ["m2", "m5"]
    record = await store.job("m2")
    assert record is not None
    assert record.tenant == "many"


async def test_a_place_goes_to_who_has_waited_longest_in_the_same_commit(store: FullStore) -> None:
    await asked(store, *(of("a", id) for id in ("a1", "a2", "a3", "a4")))
    assert await commits(store, "a2") == ["a3"]
    assert await commits(store, "a1") == ["a4"]
    assert await commits(store, "a3") == []
    assert await commits(store, "a4") == []
    assert (await store.counts()).jobs[JobState.COMMITTED] == 4


async def test_who_comes_later_does_not_overtake_who_waits(store: FullStore) -> None:
    await asked(store, *(of("a", id, places=1) for id in ("a1", "a2")))
    assert await asked(store, of("a", "a3", places=5)) == [True]
    assert await commits(store, "a1") == ["a2", "a3"]


async def test_tenants_of_different_types_and_priorities_have_lines_of_their_own(store: FullStore) -> None:
    await asked(store, *(of("a", id, places=1) for id in ("a1", "a2")))
    other = NewJob(envelope("b1", type="u", key="b1"), ordered=False, tenancy=Tenancy("a", 1))
    assert await asked(store, other, of("a", "high", places=1, priority=Priority.HIGH)) == [False, False]
    assert await commits(store, "high") == []
    assert await commits(store, "b1") == []
    assert await waiting(store, "a2") == ["a2"]


async def test_a_tenant_may_be_any_text_and_is_compared_as_it_is(store: FullStore) -> None:
    for number, tenant in enumerate(["a", "A", "a ", " a", "a b", "ä", "日本", "'; --", "%s", "low a"]):
        assert await asked(store, *(of(tenant, f"{number}{n}", places=1) for n in range(2))) == [False, True]
        record = await store.job(f"{number}1")
        assert record is not None
        assert record.tenant == tenant


async def test_jobs_without_a_tenant_are_as_they_were(store: FullStore) -> None:
    await asked(store, *(of("a", id, places=1) for id in ("a1", "a2")))
    assert await asked(store, NewJob(envelope("plain"), ordered=True)) == [False]
    record = await store.job("plain")
    assert record is not None
    assert (record.tenant, record.waits_for_place) == (None, False)


async def test_submitting_again_changes_nothing(store: FullStore) -> None:
    jobs = [of("a", id, places=1) for id in ("a1", "a2")]
    await asked(store, *jobs)
    assert all(isinstance(answer, Known) for answer in await store.submit(jobs))
    assert await asked(store, of("a", "a3", places=1)) == [True]
    assert await outbox_ids(store) == ["a1"]


# ---- how a place is given up -----------------------------------------------------------------------------------------


async def test_a_job_that_dies_gives_its_place_up(store: FullStore) -> None:
    await asked(store, *(of("a", id, places=1) for id in ("a1", "a2")))
    job = await opened_job(store, "a1")
    await buried(store, job)
    assert await outbox_ids(store) == ["a2"]


async def test_a_job_whose_message_is_dead_lettered_gives_its_place_up(store: FullStore) -> None:
    await asked(store, *(of("a", id, places=1) for id in ("a1", "a2")))
    job = await opened_job(store, "a1")
    await store.bury_message(job.body, job, reason="unknown")
    assert await outbox_ids(store) == ["a2"]


async def test_a_cancelled_job_gives_its_place_up_and_one_that_waits_leaves_the_line(store: FullStore) -> None:
    await asked(store, *(of("a", id, places=1) for id in ("a1", "a2", "a3", "a4")))
    await cancel(store, "a2")
    assert await outbox_ids(store) == ["a1"]
    await cancel(store, "a1", "a3")
    assert await outbox_ids(store) == ["a4"]
    assert await commits(store, "a4") == []


async def test_an_expired_job_gives_its_place_up(store: FullStore, store_harness: Harness[FullStore]) -> None:
    await asked(store, of("a", "a1", places=1, expires_after=store_harness.ttl), of("a", "a2", places=1))
    await store_harness.elapse(store_harness.ttl * 1.5)
    assert [job.id for job in await store.expire_due(limit=10)] == ["a1"]
    assert await outbox_ids(store) == ["a2"]


async def test_one_that_waits_may_expire(store: FullStore, store_harness: Harness[FullStore]) -> None:
    await asked(store, of("a", "a1", places=1), of("a", "a2", places=1, expires_after=store_harness.ttl))
    await store_harness.elapse(store_harness.ttl * 1.5)
    assert [job.id for job in await store.expire_due(limit=10)] == ["a2"]
    assert await commits(store, "a1") == []


async def test_a_snoozed_job_gives_its_place_up_and_takes_one_when_it_is_due(
    store: FullStore, store_harness: Harness[FullStore]
) -> None:
    await asked(store, *(of("a", id, places=1) for id in ("a1", "a2", "a3")))
    job = await opened_job(store, "a1")
    await store.snooze(job, await opened(store, job), after=store_harness.ttl)
    assert await outbox_ids(store) == ["a2"]
    await published(store)
    await store_harness.elapse(store_harness.ttl * 1.5)
    assert await store.release_due(limit=10) == []
    assert await waiting(store, "a1", "a3") == ["a1", "a3"]
    # It came before the other.
    assert await commits(store, "a2") == ["a1"]


async def test_a_failed_attempt_keeps_the_place(store: FullStore) -> None:
    await asked(store, *(of("a", id, places=1) for id in ("a1", "a2")))
    job = await opened_job(store, "a1")
    under = await opened(store, job)
    await store.fail(job, under, failure(1))
    assert await waiting(store, "a2") == ["a2"]
    await committed(store, job)
    assert await waiting(store, "a2") == []


# ---- how one is taken ------------------------------------------------------------------------------------------------


async def test_scheduled_jobs_take_places_once_due(store: FullStore, store_harness: Harness[FullStore]) -> None:
    later = [of("a", f"a{n}", places=1, after=store_harness.ttl) for n in range(3)]
    answers = await store.submit([*later, of("a", "now", places=1)])
    assert [isinstance(answer, Accepted) and answer.waits for answer in answers] == [False] * 4
    await commits(store, "now")
    await store_harness.elapse(store_harness.ttl * 1.5)
    assert [entry.envelope.id for entry in await store.release_due(limit=10)] == ["a0"]
    assert await waiting(store, "a0", "a1", "a2") == ["a1", "a2"]
    assert await store.release_due(limit=10) == []
    assert await commits(store, "a0") == ["a1"]


async def test_follow_ups_take_places(store: FullStore) -> None:
    await asked(store, of("a", "a1", places=1), NewJob(envelope("plain"), ordered=False))
    follow_ups = Effects(follow_ups=[of("a", "a2", places=1), of("b", "b1", places=1)])
    assert await commits(store, "plain", follow_ups) == ["b1"]
    # One that follows from who gives up the place waits for no other.
    assert await commits(store, "a1", Effects(follow_ups=[of("a", "a3", places=1)])) == ["a2"]
    assert await commits(store, "a2") == ["a3"]


async def test_a_follow_up_of_the_only_one_is_not_left_waiting(store: FullStore) -> None:
    await asked(store, of("a", "a1", places=1))
    assert await commits(store, "a1", Effects(follow_ups=[of("a", "a2", places=1)])) == ["a2"]


async def test_a_requeued_job_takes_a_place(store: FullStore) -> None:
    await asked(store, *(of("a", id, places=1) for id in ("a1", "a2")))
    job = await opened_job(store, "a1")
    await buried(store, job)
    (letter,) = await store.dead(limit=10)
    assert await store.requeue_dead(letter.number) is not None
    assert await waiting(store, "a1", "a2") == ["a1"]
    assert await commits(store, "a2") == ["a1"]
    assert await commits(store, "a1") == []


async def test_one_that_replaces_another_takes_its_place(store: FullStore) -> None:
    unique = Unique("report", replace=True)
    await asked(store, of("a", "a1", places=1, unique=unique))
    assert await asked(store, of("a", "a2", places=1, unique=unique)) == [False]
    assert await outbox_ids(store) == ["a2"]
    await asked(store, of("a", "a3", places=1, unique=Unique("other")))
    await asked(store, of("a", "a4", places=1, unique=Unique("other", replace=True)))
    assert await waiting(store, "a3", "a4") == ["a4"]
    assert await commits(store, "a2") == ["a4"]


async def test_members_of_a_group_take_places_and_so_does_the_one_that_closes_it(store: FullStore) -> None:
    closing = of("a", "then", places=1, at=WHEN_RELEASED, closes=NewGroup(2))
    members = [of("a", id, places=1, member_of="then") for id in ("m1", "m2")]
    answers = await store.submit([closing, *members, of("a", "later", places=1)])
    assert [isinstance(answer, Accepted) and answer.waits for answer in answers] == [False, False, True, True]
    assert await commits(store, "m1") == ["m2"]
    # It came before the other.
    assert await commits(store, "m2") == ["then"]
    assert await commits(store, "then") == ["later"]


async def test_members_that_were_held_take_places_once_all_are_declared(store: FullStore) -> None:
    closing = of("a", "then", places=1, at=WHEN_RELEASED, closes=NewGroup(2, held=True))
    members = [of("a", id, places=1, at=WHEN_RELEASED, member_of="then") for id in ("m1", "m2")]
    await store.submit([closing, *members])
    assert [entry.envelope.id for entry in await store.release_due(limit=10)] == ["m1"]
    assert await waiting(store, "m1", "m2") == ["m2"]
    assert await store.release_due(limit=10) == []
    assert await commits(store, "m1") == ["m2"]


# ---- what waits ------------------------------------------------------------------------------------------------------


async def test_nothing_else_brings_one_that_waits_to_a_worker(store: FullStore) -> None:
    await asked(store, *(of("a", id, places=1) for id in ("a1", "a2")))
    await published(store)
    adrift, _ = await store.adrift(HERE, 1, after=0, upto=await store.horizon(), limit=10)
    assert [one.envelope.id for one in adrift] == ["a1"]
    assert await store.republish(["a1", "a2"]) == ["a1"]
    answer = await store.open(await opened_job(store, "a2"), fence())
    assert isinstance(answer, Duplicate)
    assert answer.receipt.kind == "scheduled"


@pytest.mark.parametrize("id", ["a1", "a2", "a3"])
async def test_another_priority_is_another_line(store: FullStore, id: str) -> None:
    await asked(store, *(of("a", id, places=1) for id in ("a1", "a2", "a3")))
    (change,) = await store.reprioritize([id], Priority.HIGH)
    assert change.changed
    assert change.entry is not None
    assert change.entry.envelope.priority is Priority.HIGH
    left = {"a1": ["a3"], "a2": ["a3"], "a3": ["a2"]}[id]
    assert await waiting(store, "a1", "a2", "a3") == left
    assert await commits(store, id) == []
    (first,) = {"a1", "a2", "a3"} - {id, *left}
    assert await commits(store, first) == left


async def test_one_of_another_priority_waits_where_there_is_no_place_for_it(store: FullStore) -> None:
    await asked(store, *(of("a", id, places=1, priority=Priority.LOW) for id in ("low1", "low2")))
    await asked(store, of("a", "high", places=1, priority=Priority.HIGH))
    (change,) = await store.reprioritize(["low1"], Priority.HIGH)
    assert (change.changed, change.entry) == (True, None)
    assert await waiting(store, "low1", "low2") == ["low1"]
    assert "low1" not in await outbox_ids(store)
    assert await commits(store, "high") == ["low1"]
    assert await commits(store, "low2") == []


async def test_those_that_wait_are_counted_by_type(store: FullStore, store_harness: Harness[FullStore]) -> None:
    other = NewJob(envelope("u", type="u", key="u"), ordered=False, tenancy=Tenancy("a", 1))
    await asked(
        store, *(of("a", f"a{n}", places=1) for n in range(6)), of("b", "b1", places=1), of("b", "b2", places=1)
    )
    await store.submit([other, of("a", "later", places=1, after=LONG)])
    types = ["t", "u", "nosuch"]

    async def counted() -> dict[str, int]:
        return {type: count for type, count in (await store.waiting_for_places(types)).items() if count}

    assert await counted() == {"t": 6}
    assert await store.waiting_for_places([]) == {}
    assert await store.waiting_for_places(["u"]) in ({}, {"u": 0})
    await commits(store, "a0")
    await cancel(store, "a1", "a5")
    assert await counted() == {"t": 3}
    await store.reprioritize(["a4"], Priority.HIGH)
    assert await counted() == {"t": 2}
    job = await opened_job(store, "b1")
    await store.snooze(job, await opened(store, job), after=store_harness.ttl)
    assert await counted() == {"t": 1}
    await store_harness.elapse(store_harness.ttl * 1.5)
    await store.release_due(limit=10)
    assert await counted() == {"t": 2}
