"""What is cancelled stops within a second, counts as no failure, and its key goes on; wherever the job is."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from datetime import timedelta

import anyio
import pytest

from jobkit import Context, Payload, Retry, RetryPolicy, processor
from jobkit.ports.inspection import JobState
from tests.faults.doubles import after, before, lost_request
from tests.virtual_site import AnyProcessor, Site, in_virtual_time, open_site

# Told within a second, by one look each second at most: and the time that a step of these tests takes.
TOLD_WITHIN = 1.05


class Long(Payload):
    key: str = "k"
    seconds: float = 100.0
    fails: bool = False
    stubborn: bool = False


class Ran:
    """What the processors did."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.stopped: list[str] = []


def processors(ran: Ran) -> list[AnyProcessor]:
    async def work(job: Long, ctx: Context) -> str:
        ran.begun.append(ctx.job.id)
        try:
            await ctx.clock.sleep(job.seconds)
        except asyncio.CancelledError:
            ran.stopped.append(ctx.job.id)
            if not job.stubborn:
                raise
        if job.fails:
            raise Retry("not yet")
        ctx.append("done", 1)
        if job.key != "follow-up":
            ctx.submit("loose", Long(key="follow-up", seconds=0), id=f"{ctx.job.id}-then")
        return "done"

    policy = RetryPolicy(max_attempts=3, initial=timedelta(seconds=30), maximum=timedelta(seconds=30), jitter=0)
    return [
        processor(type, key=lambda job: job.key, ordered=type == "ordered", retry=policy)(work)
        for type in ("ordered", "loose")
    ]


def _site(ran: Ran, **settings: float) -> AbstractAsyncContextManager[Site]:
    return open_site(*processors(ran), **settings)


async def running(site: Site, id: str) -> None:
    await site.until(lambda: _is(site, id, JobState.RUNNING))


async def _is(site: Site, id: str, state: JobState) -> bool:
    return (await site.client.status(id)).state is state


async def cancel(site: Site, id: str) -> None:
    answer = await site.client.cancel(id, reason="not wanted", by="ann")
    assert answer.cancelled


@pytest.mark.parametrize("type", ["ordered", "loose"])
@in_virtual_time
async def test_a_running_attempt_is_told_within_a_second_and_its_delivery_acked(type: str) -> None:
    ran = Ran()
    async with _site(ran) as site:
        site.start()
        await site.client.submit(type, Long(), id="a")
        await running(site, "a")
        await site.clock.sleep(3)
        await cancel(site, "a")
        assert await site.until(lambda: ran.stopped == ["a"]) < TOLD_WITHIN
        await site.at_rest(within=1)
        await site.clock.sleep(60)
        assert ran.begun == ["a"]
        record = await site.client.status("a")
        assert (record.state, record.failures, record.ended_by) == (JobState.CANCELLED, (), "ann")
        assert await site.planes.inspection.job("a-then") is None
        assert await site.reasons() == []
        assert await site.free()
        assert site.witness.count("jobkit.jobs", {"outcome": "cancelled"}) == 1
        for silent in ("jobkit.stale_writes", "jobkit.duplicates", "jobkit.attempts.failed", "jobkit.leases.lost"):
            assert site.witness.count(silent) == 0


@pytest.mark.parametrize("begun", [0.0, 0.05, 0.2, 0.85])
@in_virtual_time
async def test_it_is_told_within_a_second_however_young_it_is(begun: float) -> None:
    ran = Ran()
    async with _site(ran) as site:
        site.start()
        await site.clock.sleep(5.13)
        await site.client.submit("loose", Long(), id="a")
        await running(site, "a")
        await site.clock.sleep(begun)
        await cancel(site, "a")
        assert await site.until(lambda: ran.stopped == ["a"]) < TOLD_WITHIN


@in_virtual_time
async def test_the_key_goes_on_within_a_second_of_the_cancellation() -> None:
    ran = Ran()
    async with _site(ran) as site:
        site.start()
        for id in ("a", "b", "c", "d"):
            await site.client.submit("ordered", Long(seconds=100 if id == "a" else 0.1), id=id)
        await running(site, "a")
        await cancel(site, "c")
        await cancel(site, "a")
        assert await site.until(lambda: _is(site, "d", JobState.COMMITTED)) < 2 * TOLD_WITHIN
        assert [id for id in ran.begun if "then" not in id] == ["a", "b", "d"]
        await site.at_rest()


@in_virtual_time
async def test_what_does_not_let_itself_be_stopped_commits_nothing() -> None:
    ran = Ran()
    async with _site(ran) as site:
        site.start()
        await site.client.submit("ordered", Long(stubborn=True), id="a")
        await running(site, "a")
        await cancel(site, "a")
        await site.until(lambda: ran.stopped == ["a"])
        await site.at_rest()
        assert await site.log("ordered", "k") == []
        assert (await site.client.status("a")).state is JobState.CANCELLED


@pytest.mark.parametrize("fails", [False, True])
@in_virtual_time
async def test_what_ends_before_it_is_told_changes_nothing_and_alarms_nobody(fails: bool) -> None:
    """Cancelled just as its commit, or its failure, is on the way."""
    ran = Ran()
    async with _site(ran) as site:

        async def cancelled() -> None:
            await cancel(site, "a")

        site.faults.once("store.fail" if fails else "store.commit", before(cancelled))
        site.start()
        await site.client.submit("ordered", Long(seconds=0.2, fails=fails), id="a")
        await site.ended("a")
        await site.at_rest()
        assert ran.begun == ["a"]
        assert await site.log("ordered", "k") == []
        assert site.witness.count("jobkit.stale_writes") == 0
        assert site.witness.count("jobkit.split_brain") == 0
        assert site.witness.count("jobkit.jobs", {"outcome": "cancelled"}) == 1


@pytest.mark.parametrize("type", ["ordered", "loose"])
@in_virtual_time
async def test_a_job_that_waits_for_its_next_attempt_is_not_tried_again(type: str) -> None:
    ran = Ran()
    async with _site(ran) as site:
        site.start()
        await site.client.submit(type, Long(seconds=0.1, fails=True), id="a")
        await site.until(lambda: _failed(site, "a"))
        await cancel(site, "a")
        await site.client.submit(type, Long(seconds=0.1), id="b")
        assert await site.until(lambda: _is(site, "b", JobState.COMMITTED)) < 2 * TOLD_WITHIN
        await site.clock.sleep(60)
        assert [id for id in ran.begun if "then" not in id] == ["a", "b"]
        await site.at_rest()


async def _failed(site: Site, id: str) -> bool:
    return bool((await site.client.status(id)).failures)


@in_virtual_time
async def test_what_is_queued_never_begins() -> None:
    ran = Ran()
    async with _site(ran) as site:
        for number in range(20):
            await site.client.submit("ordered", Long(key=f"k{number % 3}", seconds=0.1), id=f"j{number}")
        assert await site.client.cancel_all("ordered", reason="not wanted", by="ann") == 20
        site.start()
        await site.client.submit("ordered", Long(key="k0", seconds=0.1), id="after")
        await site.ended("after")
        await site.at_rest()
        assert [id for id in ran.begun if "then" not in id] == ["after"]
        assert site.witness.count("jobkit.duplicates") == 0


@in_virtual_time
async def test_a_job_in_flight_is_cancelled_where_it_runs() -> None:
    ran = Ran()
    async with _site(ran, delivery_hold=3.0) as site:
        site.start()
        await site.client.submit("ordered", Long(), id="a")
        await site.until(lambda: _in_flight(site))
        await cancel(site, "a")
        assert await site.until(lambda: ran.stopped == ["a"]) < TOLD_WITHIN
        await site.at_rest(within=1)


async def _in_flight(site: Site) -> bool:
    return await site.shelved() == 1


@in_virtual_time
async def test_the_job_of_a_worker_that_is_gone_is_not_taken_over() -> None:
    ran = Ran()
    async with _site(ran, lease_ttl=6.0) as site:
        worker = site.start("a")
        await site.client.submit("ordered", Long(), id="a")
        await site.client.submit("ordered", Long(seconds=0.1), id="b")
        await running(site, "a")
        await worker.crash()
        await cancel(site, "a")
        site.start("b", faults=type(site.faults)(site.clock))
        await site.ended("b")
        await site.at_rest()
        assert [id for id in ran.begun if "then" not in id] == ["a", "b"]


@in_virtual_time
async def test_a_store_that_does_not_answer_is_asked_again() -> None:
    ran = Ran()
    async with _site(ran) as site:
        site.start()
        site.faults.once("store.cancelled", lost_request, lost_request)
        await site.client.submit("loose", Long(), id="a")
        await running(site, "a")
        await cancel(site, "a")
        assert await site.until(lambda: ran.stopped == ["a"]) < 3 * TOLD_WITHIN


@in_virtual_time
async def test_jobs_that_are_over_soon_are_never_asked_for() -> None:
    ran = Ran()
    async with _site(ran) as site:
        site.start()
        for number in range(200):
            await site.client.submit("loose", Long(key=str(number), seconds=0.01), id=f"j{number}")
        await site.at_rest()
        assert site.faults.calls["store.cancelled"] == 0
        await site.client.submit("loose", Long(seconds=20), id="long")
        await site.client.submit("loose", Long(key="other", seconds=20), id="longer")
        await site.ended("longer")
        await site.at_rest()
        # One call for both, at most one in 0.4 s.
        assert 45 <= site.faults.calls["store.cancelled"] <= 52


@in_virtual_time
async def test_a_job_that_is_cancelled_while_it_opens_does_not_run() -> None:
    ran = Ran()
    async with _site(ran) as site:

        async def cancelled() -> None:
            await cancel(site, "a")

        site.faults.once("store.open", after(cancelled))
        site.start()
        await site.client.submit("ordered", Long(), id="a")
        await site.until(lambda: _is(site, "a", JobState.CANCELLED))
        await site.at_rest(within=TOLD_WITHIN + 1)
        assert await site.log("ordered", "k") == []


@in_virtual_time
async def test_who_watches_a_job_sees_that_it_is_cancelled() -> None:
    ran = Ran()
    async with _site(ran) as site:
        await site.client.submit("ordered", Long(), id="a")
        seen: list[JobState] = []

        async def watch() -> None:
            seen.extend([record.state async for record in site.client.watch("a")])

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch)
            await site.clock.sleep(1)
            await cancel(site, "a")
        assert seen == [JobState.QUEUED, JobState.CANCELLED]
