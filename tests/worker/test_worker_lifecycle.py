"""A whole worker in virtual time: start, drain, stop, and what it says of its health meanwhile."""

from __future__ import annotations

from datetime import timedelta

import anyio
import pytest
from pydantic_settings import BaseSettings

from jobkit import Context, processor
from jobkit.errors import ConfigurationError, Unavailable, UnknownType
from tests.faults.doubles import lost_request, slow_reply
from tests.steps import Step, loose, step
from tests.virtual_site import RunningWorker, Site, in_virtual_time, open_site


class NeedsToken(BaseSettings):
    """Settings of a plugin that has no default for one."""

    model_config = {"env_prefix": "JOBKIT_TEST_"}
    token: str


async def _error_of(site: Site, worker: RunningWorker) -> BaseException:
    await worker.ended.wait()
    assert worker.error is not None
    error, worker.error = worker.error, None
    return error


@in_virtual_time
async def test_a_drain_lets_the_running_job_finish_and_takes_no_other() -> None:
    """nothing-lost: and what waits stays in its queue, in order."""
    async with open_site(step, drain_seconds=60) as site:
        worker = site.start("a")
        jobs = [await site.client.submit("step", Step(number=number, seconds=20)) for number in (1, 2, 3)]
        await site.until(lambda: site.faults.calls["store.open"] == 1)
        await worker.drain()
        assert [(await site.client.status(job.id)).state for job in jobs] == ["committed", "queued", "queued"]
        assert await site.queued() == 2
        assert await site.planes.coordinator.leases() == []
        assert await site.planes.coordinator.members() == []
        site.start("b")
        for job in jobs:
            assert (await site.ended(job.id)).opens == 1
        assert await site.log("step", "k") == [f'{{"number":{number}}}' for number in (1, 2, 3)]
        await site.at_rest()


@in_virtual_time
async def test_a_drain_cancels_what_still_runs_when_its_time_is_over() -> None:
    """nothing-lost: the job runs again elsewhere, and commits once."""
    async with open_site(step, drain_seconds=30) as site:
        worker = site.start("a")
        job = await site.client.submit("step", Step(seconds=100))
        await site.until(lambda: site.faults.calls["store.open"] == 1)
        started = site.clock.now()
        await worker.drain()
        assert 30 <= site.clock.now() - started < 31
        assert site.witness.lines("drain timed out, jobs cancelled")
        assert await site.free()
        site.start("b")
        record = await site.ended(job.id, 200)
        assert (record.state, record.opens, record.owner) == ("committed", 2, "b")
        assert await site.log("step", "k") == ['{"number":1}']
        await site.at_rest()


@in_virtual_time
async def test_a_stop_cancels_at_once_and_gives_its_leases_back() -> None:
    async with open_site(step) as site:
        worker = site.start("a")
        job = await site.client.submit("step", Step(seconds=100))
        await site.until(lambda: site.faults.calls["store.open"] == 1)
        started = site.clock.now()
        worker.worker.stop()
        await worker.ended.wait()
        assert site.clock.now() - started < 0.1
        assert await site.planes.coordinator.leases() == []
        assert await site.planes.coordinator.members() == []
        site.start("b")
        assert (await site.ended(job.id, 200)).owner == "b"
        await site.at_rest()


@in_virtual_time
async def test_a_stop_is_not_held_up_by_a_coordinator_that_does_not_answer() -> None:
    async with open_site(step) as site:
        worker = site.start("a")
        await site.client.submit("step", Step(seconds=100))
        await site.until(lambda: site.faults.calls["store.open"] == 1)
        site.faults.always("coordinator.*", slow_reply(1_000))
        started = site.clock.now()
        worker.worker.stop()
        await worker.ended.wait()
        assert site.clock.now() - started < 10


@in_virtual_time
async def test_a_drain_that_meets_a_broker_outage_ends_all_the_same() -> None:
    """nothing-lost: what runs goes into the in-flight table, what waits stays in its queue."""
    async with open_site(step, drain_seconds=60) as site:
        worker = site.start("a")
        jobs = [await site.client.submit("step", Step(number=number, seconds=20)) for number in (1, 2)]
        await site.until(lambda: site.faults.calls["store.open"] == 1)
        site.faults.always("broker.*", lost_request)
        site.faults.close_consumers()
        await site.until(lambda: len(site.witness.lines("backend unavailable")) > 2)
        started = site.clock.now()
        await worker.drain()
        assert site.clock.now() - started < 25
        assert [(await site.client.status(job.id)).state for job in jobs] == ["committed", "queued"]
        site.faults.heal()
        site.start("b")
        assert (await site.ended(jobs[1].id)).state == "committed"
        await site.at_rest()


@in_virtual_time
async def test_a_drain_without_a_consumer_begins_no_job_more() -> None:
    """A job adopted earlier waits in the lane; it must not start once the drain was asked for."""
    async with open_site(step, drain_seconds=60, partitions=1, lease_ttl=15) as site:
        worker = site.start("a")
        jobs = [await site.client.submit("step", Step(number=number, seconds=20)) for number in (1, 2)]
        await site.until(lambda: site.faults.calls["store.open"] == 1)
        # The second job waits behind the first without a delivery, as after an adoption.
        (led,) = worker.worker._leaderships.led
        for pending in list(led._in_hand):
            await led._shelving.shelve(pending)
        site.faults.always("broker.*", lost_request)
        site.faults.close_consumers()
        await site.until(lambda: len(site.witness.lines("backend unavailable")) > 2)
        await worker.drain()
        assert [(await site.client.status(job.id)).state for job in jobs] == ["committed", "queued"]
        site.faults.heal()
        site.start("b")
        assert (await site.ended(jobs[1].id)).owner == "b"
        await site.at_rest()


@in_virtual_time
async def test_a_drain_before_the_start_is_a_short_life() -> None:
    async with open_site(step) as site:
        worker = site.start("a")
        worker.worker.drain()
        await worker.ended.wait()
        assert site.faults.calls["broker.consume"] == 0


@in_virtual_time
async def test_a_worker_is_ready_while_it_consumes_and_not_once_it_drains() -> None:
    async with open_site(step, drain_seconds=60) as site:
        running = site.start("a")
        worker = running.worker
        await site.until(lambda: site.faults.calls["broker.receive"] == 2)
        assert worker.live() == {"loop_turns": True}
        assert all(worker.ready().values())
        site.faults.always("broker.consume", lost_request)
        site.faults.close_consumers()
        await site.until(lambda: not worker.ready()["consumers_open"])
        site.faults.heal()
        await site.until(lambda: worker.ready()["consumers_open"], within=10)
        await site.client.submit("step", Step(seconds=10))
        await site.until(lambda: site.faults.calls["store.open"] == 1)
        worker.drain()
        assert not worker.ready()["not_draining"]
        assert all(worker.live().values())
        await running.ended.wait()


@in_virtual_time
async def test_a_worker_refuses_to_start_with_a_type_that_it_does_not_know() -> None:
    async with open_site(step) as site:
        error = await _error_of(site, site.start("a", types=("stpe",)))
        assert isinstance(error, UnknownType)
        assert "did you mean 'step'" in str(error)


@in_virtual_time
async def test_a_worker_refuses_to_start_when_a_plugins_settings_or_checks_say_no(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def broken() -> list[str]:
        return ["no ffmpeg on the PATH", "and no disk"]

    @processor("picky", key=lambda job: job.on, settings=NeedsToken, check=broken)
    async def picky(job: Step, ctx: Context) -> str:
        return ctx.settings(NeedsToken).token

    async with open_site(picky) as site:
        error = await _error_of(site, site.start("a"))
        assert isinstance(error, ConfigurationError)
        assert "JOBKIT_TEST_TOKEN" in str(error)
        monkeypatch.setenv("JOBKIT_TEST_TOKEN", "t")
        error = await _error_of(site, site.start("b"))
        assert isinstance(error, ConfigurationError)
        assert str(error) == "picky: no ffmpeg on the PATH\npicky: and no disk"


@in_virtual_time
async def test_a_processor_gets_its_settings_as_validated_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    @processor("set", key=lambda job: job.on, settings=NeedsToken)
    async def needy(job: Step, ctx: Context) -> str:
        return ctx.settings(NeedsToken).token

    monkeypatch.setenv("JOBKIT_TEST_TOKEN", "from the environment")
    async with open_site(needy) as site:
        site.start("a")
        job = await site.client.submit("set", Step())
        assert (await site.ended(job.id)).result == b'"from the environment"'


@in_virtual_time
async def test_a_worker_that_cannot_reach_its_broker_at_the_start_says_so() -> None:
    async with open_site(step) as site:
        site.faults.once("broker.declare", lost_request)
        assert isinstance(await _error_of(site, site.start("a")), Unavailable)


@in_virtual_time
async def test_a_worker_serves_only_the_types_it_was_given() -> None:
    async with open_site(step, loose) as site:
        site.start("a", types=("step",))
        other = await site.client.submit("loose", Step())
        mine = await site.client.submit("step", Step())
        assert (await site.ended(mine.id)).state == "committed"
        await site.clock.sleep(60)
        assert (await site.client.status(other.id)).state == "queued"


@in_virtual_time
async def test_upkeep_goes_on_through_a_drain_until_the_last_commit() -> None:
    """no-lease-no-work: a job that drains for longer than a lease lives still has its lease."""
    async with open_site(step, drain_seconds=200) as site:
        worker = site.start("a")
        job = await site.client.submit("step", Step(seconds=100))
        await site.until(lambda: site.faults.calls["store.open"] == 1)
        await worker.drain()
        record = await site.client.status(job.id)
        assert (record.state, record.opens) == ("committed", 1)
        assert site.witness.count("jobkit.leases.lost") == 0


@in_virtual_time
async def test_a_cleanup_that_takes_long_does_not_hold_up_a_lost_lease_for_others() -> None:
    """no-lease-no-work: the store refuses what a job writes that will not die."""
    begun = anyio.Event()

    @processor("stubborn", key=lambda job: job.on, timeout=timedelta(hours=1))
    async def stubborn(job: Step, ctx: Context) -> str:
        if ctx.fence.owner == "a":
            begun.set()
            with anyio.CancelScope(shield=True):
                await ctx.clock.sleep(60)
        return ctx.fence.owner

    async with open_site(stubborn) as site:
        site.start("a")
        job = await site.client.submit("stubborn", Step())
        await begun.wait()
        site.faults.always("coordinator.*", lost_request)
        from tests.faults.doubles import Faults

        site.start("b", faults=Faults(site.clock))
        record = await site.ended(job.id)
        assert (record.state, record.owner, record.result) == ("committed", "b", b'"b"')
        site.faults.heal()
        await site.clock.sleep(60)
        assert (await site.client.status(job.id)).result == b'"b"'
        await site.at_rest()
