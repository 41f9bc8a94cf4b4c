"""The site for an application's own tests, used as an application would."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Annotated

import pytest

from jobkit import Context, Payload, Retry, RetryPolicy, processor, resource
from jobkit.testing import in_virtual_time, open_site


class Order(Payload):
    customer: str
    takes: float = 0.0


class Receipt(Payload):
    customer: str


@processor("receipt", key=lambda job: job.customer)
async def receipt(job: Receipt, ctx: Context) -> str:
    return f"thank you, {job.customer}"


@processor("order", key=lambda job: job.customer, ordered=True, timeout=timedelta(hours=2))
async def order(job: Order, ctx: Context) -> int:
    await ctx.clock.sleep(job.takes)
    async with ctx.blobs.create("slip.txt") as path:
        path.write_text(job.customer)
    ctx.append("ordered", {"attempt": ctx.job.attempt})
    ctx.submit("receipt", Receipt(customer=job.customer))
    return ctx.job.attempt


@in_virtual_time
async def test_a_job_its_follow_up_and_its_files_are_there_as_in_production() -> None:
    async with open_site(order, receipt) as site:
        await site.start_worker()
        handle = await order.submit(site.client, Order(customer="ann", takes=90))
        assert await handle.result(timeout=200) == 1
        await site.at_rest()
        assert await (await site.client.files("order", "ann")).read("slip.txt") == b"ann"
        assert [job.type for job in await site.planes.inspection.jobs(limit=10)] == ["receipt", "order"]


@in_virtual_time
async def test_a_killed_workers_job_is_done_once_by_another() -> None:
    async with open_site(order, receipt) as site:
        first = await site.start_worker()
        handle = await order.submit(site.client, Order(customer="ann", takes=60))
        await site.runs(handle.id)
        await first.kill()
        await site.start_worker()
        assert (await site.ended(handle.id, within=300)).state == "committed"
        await site.at_rest()
        assert len(await site.planes.inspection.log("order", "ann")) == 1


@pytest.mark.parametrize("plane", ["store", "broker", "coordinator"])
@in_virtual_time
async def test_a_backend_that_goes_away_and_comes_back_costs_nothing(plane: str) -> None:
    async with open_site(order, receipt) as site:
        await site.start_worker()
        handles = [await order.submit(site.client, Order(customer=f"c{n}", takes=2)) for n in range(5)]
        with site.away(plane):
            await site.clock.sleep(20)
        for handle in handles:
            assert (await site.ended(handle.id)).state == "committed"
        await site.at_rest()
        assert await site.dead_letters() == []


@in_virtual_time
async def test_a_lease_that_is_lost_ends_the_attempt_which_does_not_count() -> None:
    async with open_site(order, receipt) as site:
        await site.start_worker()
        handle = await order.submit(site.client, Order(customer="ann", takes=30))
        assert not await site.lose_lease("order", "ann")
        await site.runs(handle.id)
        assert await site.lose_lease("order", "ann")
        assert await handle.result(timeout=300) == 1
        assert (await site.ended(handle.id)).failures == ()


@in_virtual_time
async def test_a_drain_lets_what_runs_end() -> None:
    async with open_site(order, receipt) as site:
        worker = await site.start_worker()
        handle = await order.submit(site.client, Order(customer="ann", takes=10))
        await site.runs(handle.id)
        await worker.drain()
        assert (await site.ended(handle.id)).state == "committed"


@in_virtual_time
async def test_retries_and_dead_letters_are_those_of_a_worker() -> None:
    @processor("flaky", key=lambda job: job.customer, retry=RetryPolicy(max_attempts=3))
    async def flaky(job: Order, ctx: Context) -> None:
        raise Retry("not yet")

    async with open_site(flaky) as site:
        await site.start_worker()
        handle = await flaky.submit(site.client, Order(customer="ann"))
        record = await site.ended(handle.id, within=300)
        assert (record.state, len(record.failures)) == ("dead", 3)
        assert "not yet" in (await site.dead_letters())[0].reason


@in_virtual_time
async def test_what_does_not_come_to_be_is_an_assertion() -> None:
    async with open_site(order, receipt) as site:
        handle = await order.submit(site.client, Order(customer="ann"))
        with pytest.raises(AssertionError, match="within 5 s"):
            await site.ended(handle.id, within=5)


@resource
async def greeting() -> AsyncIterator[str]:
    raise RuntimeError("no test has this")
    yield ""


@processor("greet", key=lambda job: job.customer)
async def greet(job: Order, ctx: Context, said: Annotated[str, greeting]) -> str:
    return f"{said}, {job.customer}"


async def _greeted() -> None:
    async with open_site(greet, resources={greeting: "hello"}) as site:
        await site.start_worker()
        handle = await greet.submit(site.client, Order(customer="ann"))
        assert await handle.result(timeout=30) == "hello, ann"


def test_resources_are_given_in_place_of_those_of_production() -> None:
    in_virtual_time(_greeted)()


def test_a_site_works_in_real_time_too() -> None:
    asyncio.run(_greeted())
