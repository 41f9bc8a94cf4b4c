"""What goes to the outbox while nobody is told of it comes with what is due, once, and so is published at once."""

from __future__ import annotations

from dataclasses import replace

from jobkit.model.envelope import Envelope
from jobkit.model.job_group import WHEN_RELEASED, NewGroup
from jobkit.model.notice import Notice
from jobkit.model.priority import Priority
from jobkit.model.tenancy import Tenancy
from jobkit.model.unique import Unique
from jobkit.ports.store import Accepted, Committed, Effects, NewJob
from jobkit.testing.conformance.harness import FullStore, Harness
from jobkit.testing.conformance.values import (
    buried,
    cancel,
    committed,
    envelope,
    opened,
    outbox_ids,
    published,
    submitted,
    unordered,
)


async def told(store: FullStore, *, limit: int = 100) -> list[str]:
    return [entry.envelope.id for entry in await store.release_due(limit=limit)]


async def in_line(store: FullStore, *ids: str, **of_first: object) -> Envelope:
    """Submit jobs of a tenant who has one place, and return the first, who has it. All are published."""
    jobs = [
        NewJob(envelope(id, key=id), ordered=False, tenancy=Tenancy("a", 1), **(of_first if id == ids[0] else {}))  # type: ignore[arg-type]
        for id in ids
    ]
    first, *_ = await store.submit(jobs)
    assert isinstance(first, Accepted)
    await published(store)
    return first.envelope


async def behind_a_gap(store: FullStore, *ids: str) -> list[Envelope]:
    """Submit ordered jobs, and park all but the first."""
    jobs = [await submitted(store, id) for id in ids]
    await published(store)
    for job in jobs[1:]:
        await store.park(job, reason="waits")
    return jobs


async def test_the_place_of_a_cancelled_job(store: FullStore) -> None:
    await in_line(store, "a1", "a2", "a3")
    await cancel(store, "a1")
    assert await told(store) == ["a2"]
    assert await told(store) == []
    # Until it is published it is in the outbox as all that is.
    assert await outbox_ids(store) == ["a2"]


async def test_the_places_of_an_expired_a_buried_and_a_snoozed_job(
    store: FullStore, store_harness: Harness[FullStore]
) -> None:
    await in_line(store, "a1", "a2", "a3", "a4", expires_after=store_harness.ttl)
    await store_harness.elapse(store_harness.ttl * 1.5)
    await store.expire_due(limit=10)
    assert await told(store) == ["a2"]
    second = await store.envelope("a2")
    assert second is not None
    await buried(store, second)
    assert await told(store) == ["a3"]
    third = await store.envelope("a3")
    assert third is not None
    await store.snooze(third, await opened(store, third), after=3_600.0)
    assert await told(store) == ["a4"]


async def test_the_place_of_a_job_that_changes_its_line(store: FullStore) -> None:
    await in_line(store, "a1", "a2")
    (change,) = await store.reprioritize(["a1"], Priority.HIGH)
    assert change.entry is not None
    assert await told(store) == ["a2"]


async def test_what_a_commit_tells_of_is_not_told_again(store: FullStore) -> None:
    first = await in_line(store, "a1", "a2")
    assert [entry.envelope.id for entry in (await committed(store, first)).outbox] == ["a2"]
    assert await told(store) == []


async def test_what_submit_tells_of_is_not_told_again(store: FullStore) -> None:
    await submitted(store, "a")
    await unordered(store, "b", key="b")
    assert await told(store) == []


async def test_what_a_cancelled_job_held_up(store: FullStore) -> None:
    await behind_a_gap(store, "a", "b", "c")
    await cancel(store, "a")
    assert await told(store) == ["b", "c"]


async def test_what_is_resumed_and_what_a_skip_lets_go(store: FullStore) -> None:
    await behind_a_gap(store, "a", "b")
    assert await store.resume_gap("t", "k") == 1
    assert await told(store) == ["b"]
    b = await store.envelope("b")
    assert b is not None
    await store.park(b, reason="waits")
    assert await store.skip_gap("t", "k", before=2) == 1
    assert await told(store) == ["b"]


async def test_what_is_parked_when_its_gap_has_closed(store: FullStore) -> None:
    a, b = await submitted(store, "a"), await submitted(store, "b")
    await published(store)
    await committed(store, a)
    assert (await store.park(b, reason="waits")).kind == "requeued"
    assert await told(store) == ["b"]


async def test_what_is_requeued_and_what_is_republished(store: FullStore) -> None:
    await buried(store, await unordered(store, "a"))
    (letter,) = await store.dead(limit=1)
    await store.requeue_dead(letter.number)
    assert await told(store) == ["a"]
    await published(store)
    assert await store.republish(["a"]) == ["a"]
    assert await told(store) == ["a"]


async def test_the_place_of_a_job_that_a_follow_up_replaces_is_told_once_whoever_is_told(store: FullStore) -> None:
    await in_line(store, "held", "waits", unique=Unique("n"))
    job = await submitted(store, "job", key="x")
    await published(store)
    under = await opened(store, job)
    follow_ups = [NewJob(envelope(id, key=id), ordered=False) for id in ("first", "second", "last")]
    follow_ups[1] = replace(follow_ups[1], unique=Unique("n", replace=True))
    answer = await store.commit(job, under, Effects(follow_ups=follow_ups))
    assert isinstance(answer, Committed)
    everything = [entry.envelope.id for entry in answer.outbox] + await told(store)
    assert sorted(everything) == ["first", "last", "second", "waits"]


async def test_the_last_of_a_group_that_ends_without_a_commit(store: FullStore) -> None:
    then = NewJob(envelope("then", key="x"), ordered=False, at=WHEN_RELEASED, closes=NewGroup(2, on_failure="run"))
    members = [NewJob(envelope(id, key=id), ordered=False, member_of="then") for id in ("m1", "m2")]
    answers = await store.submit([then, *members])
    assert all(isinstance(answer, Accepted) for answer in answers)
    await published(store)
    await cancel(store, "m1")
    assert await told(store) == []
    second = await store.envelope("m2")
    assert second is not None
    await buried(store, second)
    assert await told(store) == ["then"]


async def test_what_tells_of_an_end_that_is_no_commit(store: FullStore) -> None:
    notice = Notice(id="n", type="told", key="x", body="{}", inside=(), on=("cancelled",))
    await store.submit([NewJob(replace(envelope("a"), notices=(notice,)), ordered=False)])
    await published(store)
    await cancel(store, "a")
    assert await told(store) == ["n.cancelled"]
    assert await told(store) == []
    assert await outbox_ids(store) == ["n.cancelled"]


async def test_what_has_ended_or_is_published_by_then_is_not_told(store: FullStore) -> None:
    await behind_a_gap(store, "a", "b", "c", "d")
    await cancel(store, "a")
    assert await outbox_ids(store) == ["b", "c", "d"]
    await cancel(store, "c")
    await store.published([entry.position for entry in await store.outbox(older_than=-1, limit=1)])
    assert await told(store) == ["d"]


async def test_as_many_as_are_asked_for_and_what_is_due_first(
    store: FullStore, store_harness: Harness[FullStore]
) -> None:
    await store.submit([NewJob(envelope("due", key="due"), ordered=False, after=store_harness.ttl)])
    await store_harness.elapse(store_harness.ttl * 1.5)
    await behind_a_gap(store, "a", "b", "c", "d")
    await cancel(store, "a")
    assert await told(store, limit=2) == ["due", "b"]
    assert await told(store, limit=1) == ["c"]
    assert await told(store, limit=5) == ["d"]
