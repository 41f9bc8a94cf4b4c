"""Jobs that tell of another one's end: made by the transaction that ends it, in the ways that its notices name."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

import pytest

from jobkit.model.envelope import Envelope
from jobkit.model.fence import Receipt
from jobkit.model.job_group import WHEN_RELEASED, NewGroup
from jobkit.model.notice import EndState, Notice
from jobkit.model.partition import Partition
from jobkit.model.tags import tagged
from jobkit.model.tenancy import Tenancy
from jobkit.model.unique import Unique
from jobkit.ports.inspection import JobState
from jobkit.ports.store import Accepted, Effects, Gap, NewJob, Opened
from jobkit.testing.conformance.harness import FullStore
from jobkit.testing.conformance.values import (
    buried,
    cancel,
    committed,
    envelope,
    fence,
    opened,
    outbox_ids,
    unordered,
)

BODY = json.dumps({"text": '\u00fc \n "submitted_at":0.0', "ended": {"job": "a", "type": "t", "key": "", "state": ""}})


def notice(id: str, *on: EndState, key: str | None = "k \u00fc") -> Notice:
    return Notice(id=id, type="told", key=key, body=BODY, inside=("ended",), on=on)


def noticed(id: str, *notices: Notice, type: str = "t", key: str | None = "k") -> Envelope:
    return replace(
        envelope(id, type=type, key=key), notices=notices, trace=tagged({"traceparent": "00-1"}, ["nightly"])
    )


async def taken(store: FullStore, *jobs: NewJob) -> list[Envelope]:
    answers = await store.submit(jobs)
    assert all(isinstance(answer, Accepted) for answer in answers), answers
    return [answer.envelope for answer in answers if isinstance(answer, Accepted)]


async def told(store: FullStore) -> list[str]:
    """Return the ids of the jobs that tell, each of which waits to be published."""
    found = [job.id for job in await store.jobs(type="told", limit=100)]
    waiting = await outbox_ids(store)
    assert all(waiting.count(id) == 1 for id in found)
    return sorted(found)


async def _die(store: FullStore, job: Envelope) -> None:
    await buried(store, job)


async def _die_as_message(store: FullStore, job: Envelope) -> None:
    assert (await store.bury_message(job.pack(), job, reason="unknown type")).kind == "dead"


async def _cancel(store: FullStore, job: Envelope) -> None:
    assert [one.cancelled for one in await cancel(store, job.id, job.id)] == [True, False]


async def _expire(store: FullStore, job: Envelope) -> None:
    assert [one.id for one in await store.expire_due(limit=10)] == [job.id]


async def _expire_as_it_is_opened(store: FullStore, job: Envelope) -> None:
    assert not isinstance(await store.open(job, fence()), Opened)


End = Callable[[FullStore, Envelope], Awaitable[None]]
ENDS: Sequence[tuple[EndState, End]] = [
    ("dead", _die),
    ("dead", _die_as_message),
    ("cancelled", _cancel),
    ("expired", _expire),
    ("expired", _expire_as_it_is_opened),
]


@pytest.mark.parametrize(("state", "end"), ENDS)
async def test_the_end_of_a_job_makes_what_tells_of_it_and_of_no_other(
    store: FullStore, state: EndState, end: End
) -> None:
    notices = (notice("one", "dead", "cancelled", "expired"), notice("two", state, key=None), notice("no", "committed"))
    expires = 0.0 if state == "expired" else None
    (job,) = await taken(store, NewJob(noticed("a", *notices), ordered=False, expires_after=expires))
    await end(store, job)
    assert await told(store) == [f"one.{state}", f"two.{state}"]
    now = (await store.job("a")).finished_at  # type: ignore[union-attr]
    assert now is not None
    by_id = {entry.envelope.id: entry.envelope for entry in await store.outbox(older_than=-1, limit=10)}
    one = by_id[f"one.{state}"]
    assert (one.key, one.type, one.trace, one.sequence) == ("k \u00fc", "told", {"traceparent": "00-1"}, None)
    assert one.submitted_at == pytest.approx(now, abs=5)
    assert json.loads(one.body) == {
        "text": '\u00fc \n "submitted_at":0.0',
        "ended": {"job": "a", "type": "t", "key": "k", "state": state, "result": None},
    }
    assert by_id[f"two.{state}"].key is None
    # They are jobs like any other: known by what they are, and they run.
    assert not isinstance((await store.submit([NewJob(one, ordered=False)]))[0], Accepted)
    await committed(store, one)


async def test_a_commit_makes_none_that_tell_of_other_ends(store: FullStore) -> None:
    (job,) = await taken(store, NewJob(noticed("a", notice("n", "dead", "cancelled", "expired")), ordered=False))
    await committed(store, job)
    assert [one.cancelled for one in await cancel(store, "a")] == [False]
    assert await told(store) == []


async def test_a_job_that_takes_the_place_of_another_tells_that_this_was_cancelled(store: FullStore) -> None:
    unique = Unique("name", "queued", replace=True)
    await taken(store, NewJob(noticed("a", notice("n", "cancelled")), ordered=False, unique=unique))
    await taken(store, NewJob(noticed("b", notice("m", "cancelled")), ordered=False, unique=unique))
    assert await told(store) == ["n.cancelled"]


async def test_what_closes_a_group_or_is_a_tenants_or_follows_from_a_job_is_told_of_too(store: FullStore) -> None:
    closing = noticed("then", notice("of-then", "dead"))
    closes = NewJob(closing, ordered=False, at=WHEN_RELEASED, closes=NewGroup(1, "die"))
    member = NewJob(noticed("m", notice("of-m", "cancelled")), ordered=False, member_of="then")
    tenancy = Tenancy("ann", places=1)
    lines = [
        NewJob(noticed(f"l{n}", notice(f"of-l{n}", "dead", "cancelled")), ordered=False, tenancy=tenancy)
        for n in range(2)
    ]
    parent = await unordered(store, "parent", key="p")
    await committed(store, parent, Effects(follow_ups=[closes, member, *lines, NewJob(envelope("plain"), False)]))
    await cancel(store, "m", "l0", "l1", "plain")
    assert (await store.job("then")).state is JobState.DEAD  # type: ignore[union-attr]
    assert await told(store) == ["of-l0.cancelled", "of-l1.cancelled", "of-m.cancelled", "of-then.dead"]


async def test_an_ordered_job_and_one_that_runs_later_are_told_of_too(store: FullStore) -> None:
    ordered = NewJob(noticed("a", notice("n", "dead")), ordered=True)
    later = NewJob(noticed("b", notice("m", "cancelled")), ordered=True, after=3600.0)
    job, _ = await taken(store, ordered, later)
    await buried(store, job)
    await cancel(store, "b")
    assert await told(store) == ["m.cancelled", "n.dead"]


async def test_a_job_that_is_requeued_tells_of_each_end_once(store: FullStore) -> None:
    (job,) = await taken(store, NewJob(noticed("a", notice("n", "dead", "cancelled")), ordered=False))
    for _ in range(2):
        await store.requeue_dead(await buried(store, job))
        assert await told(store) == ["n.dead"]
    await cancel(store, "a")
    assert await told(store) == ["n.cancelled", "n.dead"]


async def test_a_job_that_is_submitted_again_keeps_what_it_was_first_told_to_tell(store: FullStore) -> None:
    first = NewJob(noticed("a", notice("n", "cancelled")), ordered=False)
    await taken(store, first)
    await store.submit([first])
    await store.submit([NewJob(noticed("a", notice("m", "cancelled")), ordered=False)])
    plain = await unordered(store, "b")
    await store.submit([NewJob(noticed("b", notice("o", "cancelled")), ordered=False)])
    await cancel(store, "a", plain.id)
    assert await told(store) == ["n.cancelled"]


async def test_a_job_that_was_not_ended_tells_nothing(store: FullStore) -> None:
    (job,) = await taken(store, NewJob(noticed("a", notice("n", "dead", "cancelled")), ordered=False))
    stale = await opened(store, job)
    await opened(store, job, fence())
    assert not isinstance(await store.bury(job, stale, reason="hopeless"), Receipt)
    assert await told(store) == []


async def _open(store: FullStore, job: Envelope) -> None:
    assert isinstance(await store.open(job, fence()), Opened)


async def _open_behind_a_gap(store: FullStore, job: Envelope) -> None:
    assert isinstance(await store.open(job.with_sequence(2), fence()), Gap)


async def _park(store: FullStore, job: Envelope) -> None:
    assert (await store.park(job.with_sequence(2), reason="waits")).kind == "parked"


async def _shelve(store: FullStore, job: Envelope) -> None:
    assert (await store.shelve(job, Partition("t", 0))).kind == "shelved"


@pytest.mark.parametrize("learn", [_open, _open_behind_a_gap, _park, _shelve])
async def test_a_job_that_is_known_by_its_message_alone_is_told_of_too(
    store: FullStore, learn: Callable[[FullStore, Envelope], Awaitable[None]]
) -> None:
    await learn(store, noticed("a", notice("n", "cancelled")))
    await cancel(store, "a")
    assert await told(store) == ["n.cancelled"]


async def test_a_message_that_dies_before_its_job_is_known_is_told_of_once(store: FullStore) -> None:
    job = noticed("a", notice("n", "dead", "cancelled"))
    for _ in range(2):
        assert (await store.bury_message(job.pack(), job, reason="unknown type")).kind == "dead"
        assert await told(store) == ["n.dead"]
    (letter,) = await store.dead(limit=10)
    await store.requeue_dead(letter.number)
    await cancel(store, "a")
    assert await told(store) == ["n.cancelled", "n.dead"]
