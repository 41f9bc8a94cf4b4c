"""Resources in whole workers, in virtual time: open around the jobs, and asked how they are."""

from collections.abc import AsyncIterator
from typing import Annotated

import anyio
import pytest

from jobkit import Context, processor, resource
from jobkit.errors import ResourceFailed
from jobkit.telemetry import metrics as m
from tests.steps import Step, step
from tests.virtual_site import in_virtual_time, open_site

steps: list[str] = []


@pytest.fixture(autouse=True)
def _fresh() -> None:
    steps.clear()
    Door.well = True


class Door:
    """Something that is open, and can stop working."""

    well = True


async def _works(door: Door) -> None:
    if not door.well:
        raise OSError("it is stuck")


@resource(health=_works)
async def door() -> AsyncIterator[Door]:
    steps.append("open")
    await anyio.sleep(5)
    yield Door()
    steps.append("close")


@resource
async def missing() -> int:
    raise OSError("nothing there")


@processor("enter", key=lambda job: job.on)
async def enter(job: Step, ctx: Context, way: Annotated[Door, door]) -> None:
    steps.append("begin")
    await ctx.clock.sleep(job.seconds)
    steps.append("end")


@processor("fall", key=lambda job: job.on)
async def fall(job: Step, ctx: Context, way: Annotated[int, missing]) -> None: ...


@in_virtual_time
async def test_a_resource_is_open_before_the_first_job_and_until_the_last_has_ended() -> None:
    async with open_site(enter, fall) as site:
        worker = site.start(types=["enter"])
        job = await site.client.submit("enter", Step(seconds=10))
        await site.until(lambda: "begin" in steps)
        await worker.drain()
        assert steps == ["open", "begin", "end", "close"]
        assert (await site.client.status(job.id)).state == "committed"


@in_virtual_time
async def test_what_no_served_type_needs_is_not_opened() -> None:
    async with open_site(enter, step) as site:
        site.start(types=["step"])
        job = await site.client.submit("step", Step(seconds=10))
        assert (await site.ended(job.id)).state == "committed"
        assert steps == []


@in_virtual_time
async def test_a_worker_whose_resource_does_not_open_ends_and_says_which() -> None:
    async with open_site(fall) as site:
        worker = site.start()
        await worker.ended.wait()
        assert isinstance(worker.error, ResourceFailed)
        assert "'missing'" in str(worker.error)
        worker.error = None


@in_virtual_time
async def test_a_resource_that_stops_working_is_told_once_and_seen_in_readiness_and_metrics() -> None:
    async with open_site(enter) as site:
        running = site.start()
        await site.until(lambda: running.worker.ready().get("resource_door") is True)
        Door.well = False
        await site.until(lambda: running.worker.ready()["resource_door"] is False)
        await site.clock.sleep(20)
        (line,) = site.witness.lines("resource does not work")
        assert (line["resource"], line["error"]) == ("door", "OSError: it is stuck")
        assert [point.value for point in site.witness.points(m.RESOURCE_HEALTHY.name)] == [0.0]
        Door.well = True
        await site.until(lambda: running.worker.ready()["resource_door"])
        assert len(site.witness.lines("resource works again")) == 1
