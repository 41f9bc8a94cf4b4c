"""Why a job is late: each reason by itself, as an operator would meet it, and the one that blocks comes first."""

from __future__ import annotations

import pytest

from jobkit.backends.registry import memory_planes
from jobkit.client.job_groups import pages
from jobkit.errors import Unavailable
from jobkit.model.clock import SystemClock
from jobkit.model.envelope import Envelope
from jobkit.model.fence import Fence
from jobkit.model.limit import Limit
from jobkit.model.partition import partition_of
from jobkit.model.pause import Scope
from jobkit.model.plane import Plane
from jobkit.ops.lateness import Cause, Reason, why_late
from jobkit.ports.coordinator import Granted, Member
from jobkit.ports.limits import Waiting
from jobkit.ports.planes import Planes
from jobkit.ports.store import Accepted, Committed, Effects, Failure, NewJob, Opened

PARTITIONS = 8
WORKER = "host:1:abc"
FENCE = Fence(7, "n", WORKER)


async def accepted(planes: Planes, id: str, *, key: str = "k", ordered: bool = False, after: float = 0.0) -> Envelope:
    new = NewJob(Envelope(id, "note", b"{}", key), ordered, after=after or None)
    (answer,) = await planes.store.submit([new])
    assert isinstance(answer, Accepted)
    return answer.envelope


async def live_worker(planes: Planes, *types: str) -> None:
    await planes.broker.declare("note", PARTITIONS)
    await planes.coordinator.heartbeat(Member(WORKER, types or ("note",)), ttl=60)
    for index in range(PARTITIONS):
        await planes.coordinator.claim(f"leader/note/{index}", owner=WORKER, nonce=f"l{index}", ttl=60)


async def reasons(planes: Planes, id: str) -> list[Reason]:
    job = await planes.inspection.job(id)
    assert job is not None
    return list(await why_late(planes, job, partitions=PARTITIONS, clock=SystemClock()))


async def test_its_type_is_paused() -> None:
    async with memory_planes() as planes:
        await live_worker(planes)
        await accepted(planes, "a")
        await planes.inspection.pause(Scope("note"), by="ann", reason="a bad release")
        (reason,) = await reasons(planes, "a")
        assert (reason.cause, reason.blocks, reason.command) == (Cause.PAUSED, True, "jobkit resume note")
        assert reason.text == "All jobs of its type, note, are paused. ann did that: a bad release."
        await planes.inspection.resume(Scope("note"))
        await planes.inspection.pause(Scope("note", partition=partition_of("k", PARTITIONS)), by="ann", reason="")
        assert "Partition" in (await reasons(planes, "a"))[0].text
        assert dict((await reasons(planes, "a"))[0].target)["partition"] == partition_of("k", PARTITIONS)


async def test_an_earlier_job_of_its_key_was_given_up() -> None:
    async with memory_planes() as planes:
        await live_worker(planes)
        first, _ = await accepted(planes, "a", ordered=True), await accepted(planes, "b", ordered=True)
        assert isinstance(await planes.store.open(first, FENCE), Opened)
        await planes.store.bury(first, FENCE, reason="hopeless")
        (reason,) = await reasons(planes, "b")
        assert (reason.cause, reason.blocks, dict(reason.target)) == (Cause.GAP, True, {"id": "a"})
        assert "This one is number 2, and number 1, the job a, was given up" in reason.text
        assert "was given up" in (await reasons(planes, "a"))[0].text


async def test_its_key_waits_for_a_job_that_never_came() -> None:
    async with memory_planes() as planes:
        await live_worker(planes)
        foreign = Envelope("b", "note", b"{}", "k", sequence=2)
        await planes.store.open(foreign, FENCE)
        await planes.store.park(foreign, reason="sequence 1 is missing")
        (reason,) = await reasons(planes, "b")
        assert (reason.cause, reason.blocks) == (Cause.GAP, True)
        assert "number 1 is missing" in reason.text
        assert reason.command == "jobkit gaps skip note 'k' --before 2"


async def test_its_limit_is_used_up() -> None:
    async with memory_planes() as planes:
        await live_worker(planes)
        await accepted(planes, "a")
        limit = Limit("smtp", 1)
        claim = await planes.coordinator.claim("note/other", owner=WORKER, nonce="c", ttl=60, limits=[limit])
        assert isinstance(claim, Granted)
        await planes.coordinator.note_waiting(WORKER, [Waiting(WORKER, "smtp", 2, ("a",))], ttl=60)
        (reason,) = await reasons(planes, "a")
        assert (reason.cause, reason.blocks) == (Cause.LIMIT, True)
        assert reason.text == (
            "The limit 'smtp' allows 1 at once, and 1 is in use by note/other. This job waits for it, with one other."
        )
        # Another job, which no worker has in hand yet, is told that it may be next.
        await accepted(planes, "b", key="other")
        assert [one.cause for one in await reasons(planes, "b")] == [Cause.LIMIT]
        assert not (await reasons(planes, "b"))[0].blocks


async def test_no_worker_serves_its_type() -> None:
    async with memory_planes() as planes:
        await accepted(planes, "a")
        (reason,) = await reasons(planes, "a")
        assert (reason.cause, reason.blocks, reason.command) == (Cause.NO_WORKER, True, "jobkit worker note")
        assert reason.text == "No worker is alive, so nobody serves the type 'note'."
        await planes.coordinator.heartbeat(Member(WORKER, ("mail",)), ttl=60)
        assert (await reasons(planes, "a"))[0].text == "No worker that is alive serves the type 'note'."


@pytest.mark.parametrize(("plane", "method"), [(Plane.BROKER, "depths"), (Plane.COORDINATOR, "members")])
async def test_a_backend_is_away(plane: Plane, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with memory_planes() as planes:
        await live_worker(planes)
        await accepted(planes, "a")

        async def away(*_: object) -> object:
            raise Unavailable(plane, "connection refused")

        monkeypatch.setattr(type(getattr(planes, plane.value)), method, away)
        (reason,) = await reasons(planes, "a")
        assert (reason.cause, reason.blocks) == (Cause.BACKEND_AWAY, True)
        assert f"The {plane.value}" in reason.text
        assert "connection refused" in reason.text


async def test_reasons_do_not_hide_each_other_and_those_that_block_come_first() -> None:
    async with memory_planes() as planes:
        job = await accepted(planes, "a")
        assert isinstance(await planes.store.open(job, FENCE), Opened)
        await planes.store.fail(job, FENCE, Failure(1, "no room", "", WORKER, 7, 0.0), retry_in=60)
        await planes.inspection.pause(Scope("note"), by="ann", reason="")
        found = await reasons(planes, "a")
        assert {one.cause for one in found} == {Cause.PAUSED, Cause.NO_WORKER, Cause.FAILED_BEFORE}
        assert [one.blocks for one in found] == [True, True, False]
        assert "It has failed once, the last time with: no room" in found[-1].text


async def test_it_waits_its_turn() -> None:
    async with memory_planes() as planes:
        await live_worker(planes)
        first, _ = await accepted(planes, "a", ordered=True), await accepted(planes, "b", ordered=True)
        (reason,) = await reasons(planes, "b")
        assert (reason.cause, reason.text) == (Cause.EARLIER_JOBS, "An earlier job of the key 'k' will be done first.")
        (reason,) = await reasons(planes, "a")
        assert (reason.cause, reason.blocks) == (Cause.IN_LINE, False)
        assert isinstance(await planes.store.open(first, FENCE), Opened)
        (reason,) = await reasons(planes, "b")
        assert "a runs now on host:1:abc" in reason.text


async def test_a_running_job_whose_worker_is_gone_is_taken_over() -> None:
    async with memory_planes() as planes:
        await live_worker(planes)
        job = await accepted(planes, "a")
        claim = await planes.coordinator.claim("note/k", owner=WORKER, nonce="c", ttl=60)
        assert isinstance(claim, Granted)
        assert isinstance(await planes.store.open(job, Fence(claim.token, "c", WORKER)), Opened)
        assert [one.cause for one in await reasons(planes, "a")] == [Cause.RUNNING]
        assert isinstance(await planes.store.open(job, Fence(claim.token + 1, "d", "host:2:def")), Opened)
        assert "host:1:abc holds the key now" in (await reasons(planes, "a"))[0].text
        await planes.coordinator.leave(WORKER)
        async with memory_planes() as others:
            other = Planes(others.broker, others.coordinator, planes.store, planes.inspection, planes.blobs)
            found = await reasons(other, "a")
            assert {one.cause for one in found} == {Cause.TAKE_OVER, Cause.NO_WORKER}


async def test_what_is_not_due_is_not_late_and_what_has_ended_says_how() -> None:
    async with memory_planes() as planes:
        await live_worker(planes)
        await accepted(planes, "later", after=7300)
        (reason,) = await reasons(planes, "later")
        assert (reason.cause, reason.text) == (Cause.DUE_LATER, "It is not due yet: it is to begin in 2 hours.")
        job = await accepted(planes, "a")
        assert isinstance(await planes.store.open(job, FENCE), Opened)
        assert isinstance(await planes.store.commit(job, FENCE, Effects()), Committed)
        assert "it is done" in (await reasons(planes, "a"))[0].text
        await planes.inspection.cancel(["later"], by="ann", reason="not wanted")
        assert (await reasons(planes, "later"))[0].text == "It was cancelled by ann: not wanted."


async def test_it_closes_a_group_whose_members_have_not_ended() -> None:
    async with memory_planes() as planes:
        await live_worker(planes)
        jobs = [NewJob(Envelope(id, "note", b"{}", id), False) for id in ("a", "b")]
        (page,) = pages(jobs, NewJob(Envelope("then", "note", b"{}", "then"), False), "wait")
        _, a, b = await planes.store.submit(page)
        (reason,) = await reasons(planes, "then")
        assert (reason.cause, reason.blocks) == (Cause.MEMBERS, False)
        assert "2 of 2 have not" in reason.text
        assert isinstance(a, Accepted)
        assert isinstance(b, Accepted)
        for accepted_job, died in ((a, False), (b, True)):
            envelope = accepted_job.envelope
            assert isinstance(await planes.store.open(envelope, FENCE), Opened)
            if died:
                await planes.store.bury(envelope, FENCE, reason="hopeless")
            else:
                await planes.store.commit(envelope, FENCE, Effects(b"null"))
        (reason,) = await reasons(planes, "then")
        assert (reason.cause, reason.blocks) == (Cause.MEMBERS, True)
        assert "1 of 2 died" in reason.text
