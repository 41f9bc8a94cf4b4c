"""Schedules: only who saw a schedule's latest revision changes it, and the jobs of its ticks are accepted with that."""

from __future__ import annotations

from dataclasses import replace

import anyio

from jobkit.model.envelope import Envelope
from jobkit.ports.inspection import JobState
from jobkit.ports.schedules import KeptSchedule
from jobkit.ports.store import Accepted, Conflict, Known, NewJob
from jobkit.testing.conformance.harness import FullStore, Harness

_NIGHTLY = KeptSchedule("nightly", "report", b'{"cron": "0 3 * * *"}', 0, None)


def _tick(id: str, body: bytes = b"{}", *, ordered: bool = False) -> NewJob:
    return NewJob(Envelope(id=id, type="report", body=body, key="k"), ordered)


async def _kept(store: FullStore, name: str) -> KeptSchedule:
    found = await store.schedule(name)
    assert found is not None
    return found


async def test_a_schedule_is_kept_as_it_was_saved(store: FullStore) -> None:
    assert await store.schedule("nightly") is None
    assert await store.schedules() == []
    before = await store.wall_time()
    assert await store.save_schedule(replace(_NIGHTLY, due=12_345.5)) == []
    kept = await _kept(store, "nightly")
    assert replace(kept, seen=0.0) == replace(_NIGHTLY, revision=1, due=12_345.5)
    assert before - 0.001 <= kept.seen <= await store.wall_time() + 0.001
    assert await store.schedules() == [kept]


async def test_a_schedule_is_changed_only_by_who_saw_its_latest_revision(store: FullStore) -> None:
    assert await store.save_schedule(_NIGHTLY) == []
    assert await store.save_schedule(_NIGHTLY) is None
    first = await _kept(store, "nightly")
    assert await store.save_schedule(replace(first, type="other", definition=b"new")) == []
    assert await store.save_schedule(replace(first, definition=b"lost"), [_tick("lost")]) is None
    assert await store.job("lost") is None
    kept = await _kept(store, "nightly")
    assert (kept.type, kept.definition, kept.revision) == ("other", b"new", 2)
    assert await store.save_schedule(replace(_NIGHTLY, name="gone", revision=1)) is None


async def test_of_two_who_fire_a_tick_at_once_one_does(store: FullStore) -> None:
    await store.save_schedule(_NIGHTLY)
    seen = await _kept(store, "nightly")
    answers: list[object] = []

    async def fire(number: int) -> None:
        answers.append(await store.save_schedule(seen, [_tick(f"nightly@{number}")]))

    async with anyio.create_task_group() as leaders:
        for number in range(8):
            leaders.start_soon(fire, number)
    assert sum(answer is not None for answer in answers) == 1
    assert len(await store.jobs()) == 1


async def test_jobs_of_a_tick_are_accepted_as_any_others(store: FullStore) -> None:
    await store.save_schedule(_NIGHTLY)
    jobs = [_tick("a", ordered=True), _tick("b", ordered=True)]
    first = await store.save_schedule(await _kept(store, "nightly"), jobs)
    assert first is not None
    assert [(type(answer), answer.envelope.sequence) for answer in first if isinstance(answer, Accepted)] == [
        (Accepted, 1),
        (Accepted, 2),
    ]
    again = await store.save_schedule(
        await _kept(store, "nightly"), [_tick("a", ordered=True), _tick("b", b'{"x": 1}'), _tick("c")]
    )
    assert again is not None
    assert [type(answer) for answer in again] == [Known, Conflict, Accepted]
    record = await store.job("c")
    assert record is not None
    assert record.state is JobState.QUEUED
    assert [entry.envelope.id for entry in await store.outbox(older_than=-1, limit=10)] == ["a", "b", "c"]


async def test_schedules_are_due_by_the_clock_of_the_store(store: FullStore, store_harness: Harness[FullStore]) -> None:
    now, found = await store.due_schedules(limit=10)
    assert found == []
    assert abs(now - await store.wall_time()) < 5
    for name, due in (("later", now + 500), ("never", None), ("second", now + 50), ("first", now + 40)):
        await store.save_schedule(replace(_NIGHTLY, name=name, due=due))
    assert (await store.due_schedules(limit=10))[1] == []
    await store_harness.elapse(60)
    now, found = await store.due_schedules(limit=10)
    assert [kept.name for kept in found] == ["first", "second"]
    assert all(kept.due is not None and kept.due <= now for kept in found)
    assert [kept.name for kept in (await store.due_schedules(limit=1))[1]] == ["first"]
    await store.save_schedule(replace(found[0], due=None))
    await store.save_schedule(replace(found[1], due=now + 1_000))
    assert (await store.due_schedules(limit=10))[1] == []


async def test_a_removed_schedule_is_gone_and_its_jobs_stay(store: FullStore) -> None:
    await store.save_schedule(replace(_NIGHTLY, due=1.0), [_tick("a")])
    assert not await store.remove_schedule("nightly", revision=2)
    assert not await store.remove_schedule("other", revision=1)
    assert await store.remove_schedule("nightly", revision=1)
    assert not await store.remove_schedule("nightly", revision=1)
    assert await store.schedule("nightly") is None
    assert (await store.due_schedules(limit=10))[1] == []
    assert await store.schedules() == []
    assert await store.job("a") is not None
    assert await store.save_schedule(_NIGHTLY) == []


async def test_who_wants_a_schedule_says_so_and_changes_nothing(
    store: FullStore, store_harness: Harness[FullStore]
) -> None:
    await store.save_schedule(_NIGHTLY)
    await store_harness.elapse(60)
    before = await _kept(store, "nightly")
    assert await store.see_schedules(["nightly", "unknown"]) == ["nightly"]
    assert await store.see_schedules([]) == []
    after = await _kept(store, "nightly")
    assert after.revision == before.revision
    assert after.seen - before.seen >= 59
    await store.save_schedule(replace(after, due=1.0))
    assert (await _kept(store, "nightly")).seen == after.seen
    assert await store.schedule("unknown") is None


async def test_schedules_are_listed_in_pages_in_order_of_their_names(store: FullStore) -> None:
    names = [f"s{number:03}" for number in range(120)]
    for name in reversed(names):
        await store.save_schedule(replace(_NIGHTLY, name=name))
    assert [kept.name for kept in await store.schedules()] == names
    assert [kept.name for kept in await store.schedules(after="s004", limit=3)] == ["s005", "s006", "s007"]
