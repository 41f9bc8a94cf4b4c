"""The gauges of the queues: how much there is to do, by type, whether or not a worker lives."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import anyio

from jobkit import Context, processor
from jobkit.worker.queue_gauges import EVERY_SECONDS, QueueGauges
from tests.faults.doubles import faulty_planes, lost_request
from tests.steps import Step, loose, step
from tests.virtual_site import Site, in_virtual_time, open_site


@asynccontextmanager
async def measured(site: Site, *types: str) -> AsyncIterator[QueueGauges]:
    """Measure the site's queues during the block, through its network."""
    planes = faulty_planes(site.planes, site.faults)
    gauges = QueueGauges(planes, types, clock=site.clock, telemetry=site.witness.telemetry)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(gauges.run)
        yield gauges
        tasks.cancel_scope.cancel()


async def looked(site: Site) -> dict[tuple[str, str], float]:
    """Wait for the next look, and return what it found: the gauge's last word and the type, and the value."""
    await site.clock.sleep(EVERY_SECONDS * 1.1)
    return {
        (name, dict(point.attributes)["type"]): point.value
        for name in ("depth", "running", "age", "waiting_for_places")
        for point in site.witness.points(f"jobkit.queue.{name}")
    }


@in_virtual_time
async def test_what_waits_is_seen_while_no_worker_lives() -> None:
    async with open_site(step, loose) as site, measured(site):
        for number in range(3):
            await site.client.submit("step", Step(on=f"k{number}"))
        await site.client.submit("loose", Step())
        await site.clock.sleep(60)
        found = await looked(site)
        assert (found["depth", "step"], found["depth", "loose"]) == (3, 1)
        assert (found["running", "step"], found["running", "loose"]) == (0, 0)
        assert 60 <= found["age", "step"] <= 72


@in_virtual_time
async def test_what_runs_is_counted_until_it_has_ended() -> None:
    async with open_site(step) as site, measured(site, "step"):
        site.start()
        await site.client.submit("step", Step(on="k", seconds=100))
        await site.clock.sleep(50)
        found = await looked(site)
        assert (found["depth", "step"], found["running", "step"], found["age", "step"]) == (1, 1, 0)
        await site.at_rest()
        found = await looked(site)
        assert (found["depth", "step"], found["running", "step"], found["age", "step"]) == (0, 0, 0)


@in_virtual_time
async def test_one_in_flight_without_a_delivery_is_counted() -> None:
    async with open_site(step, delivery_hold=5.0) as site, measured(site, "step"):
        site.start()
        await site.client.submit("step", Step(on="k", seconds=100))
        await site.clock.sleep(50)
        assert (await site.planes.inspection.counts()).shelved == 1
        assert (await looked(site))["depth", "step"] == 1


@in_virtual_time
async def test_a_job_that_is_due_is_counted_though_nobody_releases_it() -> None:
    async with open_site(step) as site, measured(site, "step"):
        await site.client.submit("step", Step(), after=timedelta(seconds=60))
        assert (await looked(site))["depth", "step"] == 0
        await site.clock.sleep(80)
        found = await looked(site)
        assert found["depth", "step"] == 1
        assert 20 <= found["age", "step"] <= 40


@in_virtual_time
async def test_a_job_that_was_not_published_is_counted() -> None:
    async with open_site(step) as site, measured(site, "step"):
        await site.planes.store.submit([site.registry.new_job("step", Step(), submitted_at=site.clock.wall())])
        await site.clock.sleep(20)
        assert (await looked(site))["depth", "step"] == 1


@in_virtual_time
async def test_a_number_that_cannot_be_measured_is_not_shown() -> None:
    async with open_site(step) as site, measured(site, "step") as gauges:
        assert (await looked(site))["depth", "step"] == 0
        assert gauges.current
        site.faults.always("coordinator.leases", lost_request)
        assert await looked(site) == {}
        assert not gauges.current
        site.faults.heal()
        assert (await looked(site))["depth", "step"] == 0


@in_virtual_time
async def test_what_is_paused_and_a_schedule_that_nobody_fires_are_told_while_no_worker_lives() -> None:
    async with open_site(step) as site, measured(site):
        await site.client.pause("step", reason="the disk is full")
        await site.client.schedules.add("minutely", "step", Step(), every=timedelta(minutes=1))
        await site.clock.sleep(300)
        await looked(site)
        (pauses,) = site.witness.points("jobkit.pauses")
        (age,) = site.witness.points("jobkit.pause.age")
        (overdue,) = site.witness.points("jobkit.schedules.overdue")
        assert (dict(pauses.attributes), pauses.value) == ({"type": "step"}, 1)
        assert 300 <= age.value <= 312
        assert 200 <= overdue.value <= 312
        site.start()
        await site.clock.sleep(30)
        (overdue,) = site.witness.points("jobkit.schedules.overdue")
        assert overdue.value < 1
        await site.client.resume("step")
        await looked(site)
        (pauses,) = site.witness.points("jobkit.pauses")
        assert pauses.value == 0


@in_virtual_time
async def test_what_waits_for_a_place_is_counted_apart() -> None:
    @processor("dish", key=lambda job: job.on, tenant=lambda job: job.on[:1], places=1)
    async def dish(_job: Step, _ctx: Context) -> None:
        """Do nothing."""

    async with open_site(dish, loose) as site, measured(site):
        for number in range(3):
            await site.client.submit("dish", Step(on=f"k{number}"))
        await site.client.submit("loose", Step())
        found = await looked(site)
        assert (found["depth", "dish"], found["waiting_for_places", "dish"]) == (1, 2)
        assert (found["depth", "loose"], found["waiting_for_places", "loose"]) == (1, 0)
