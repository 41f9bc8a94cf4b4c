"""The server loses what it has, while workers run: no job is lost, nothing is done twice, no process needs a restart.

What it loses is chosen on purpose: a worker has some of the jobs in hand, and works on the first of them; the others
are in the server alone.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aio_pika
import pytest

from jobkit.backends.rabbitmq.topology import PREFETCH
from jobkit.lab.servers.redis import RedisServer, start_server
from jobkit.ops.verify import verify
from jobkit.ports.inspection import JobState
from tests.acceptance.plugin import Step
from tests.acceptance.site import Site as Workers
from tests.acceptance.site import open_site, until
from tests.backends.rabbitmq.conftest import Site

KEYS = 10
# More than a worker has in hand.
JOBS = PREFETCH + 10 * KEYS
QUEUE, EXCHANGE = "jobkit.test.step.0", "jobkit.test.step"
# The least that can be set.
EVERY = 1.0
_BOUND_SECONDS = 90.0
campaign = pytest.mark.skipif("CAMPAIGN" not in os.environ, reason="`make campaign` runs it")


@asynccontextmanager
async def busy(url: str, directory: Path, **variables: str) -> AsyncIterator[tuple[Workers, list[str]]]:
    """Open a site whose one worker works on the first of many jobs; go on when it does."""
    terms = {"PARTITIONS": "1", "CONCURRENCY": "1", "REPUBLISH_SECONDS": str(EVERY)}
    async with open_site(directory, BROKER_URL=f"{url}?heartbeat=1", **terms, **variables) as opened:
        first = await opened.client.submit("test.step", Step(on="first", number=1, seconds=4.0))
        jobs = [
            opened.client.job("test.step", Step(on=f"key-{place % KEYS}", number=1 + place // KEYS))
            for place in range(JOBS)
        ]
        ids = [first.id, *(one.id for one in await opened.client.submit_many(jobs))]
        opened.start("test.step")

        async def under_way() -> bool:
            return (await opened.client.status(first.id)).state is JobState.RUNNING

        await until(under_way, within=60, what="the worker works on the first job")
        yield opened, ids


async def all_done(opened: Workers, ids: list[str]) -> None:
    """Wait until every job is committed, then look at what was done, and that nobody had to lend a hand."""

    async def done() -> bool:
        counts = await opened.planes.inspection.counts()
        return counts.jobs.get(JobState.COMMITTED, 0) == len(ids)

    await until(done, within=_BOUND_SECONDS, what="every job is committed")
    for key in range(KEYS):
        log = await opened.planes.inspection.log("test.step", f"key-{key}")
        assert [json.loads(entry.data)["number"] for entry in log] == list(range(1, JOBS // KEYS + 1))
    assert [worker.process.poll() for worker in opened.workers] == [None]
    told = opened.workers[0].events()
    assert any(event.get("event") == "broker lost messages, their jobs are published again" for event in told)
    assert not any(event.get("event") == "unexpected error" for event in told)
    assert (await verify(opened.planes)).findings == []


async def purge(site: Site) -> None:
    async with await aio_pika.connect(site.url()) as connection:
        queue = await (await connection.channel()).get_queue(QUEUE)
        await queue.purge()


async def delete_queue_and_exchange(site: Site) -> None:
    async with await aio_pika.connect(site.url()) as connection:
        channel = await connection.channel()
        await channel.exchange_delete(EXCHANGE)
        await channel.queue_delete(QUEUE)


async def delete_everything(site: Site) -> None:
    async with await aio_pika.connect(site.url()) as connection:
        channel = await connection.channel()
        await channel.exchange_delete(EXCHANGE)
        for name in (QUEUE, f"{EXCHANGE}:partitions", f"{EXCHANGE}:dead", "jobkit:types"):
            await channel.queue_delete(name)


async def make_vhost_anew(site: Site) -> None:
    await asyncio.to_thread(site.server.delete_vhost, site.vhost)
    # The length of the trouble, not a wait for anything.
    await asyncio.sleep(1)
    await asyncio.to_thread(site.server.add_vhost, site.vhost)


@pytest.mark.parametrize("lose", [purge, delete_queue_and_exchange, delete_everything, make_vhost_anew])
async def test_what_the_server_loses_is_made_good(
    site: Site, tmp_path: Path, lose: Callable[[Site], Awaitable[None]]
) -> None:
    """nothing-lost, single-effect, order."""
    async with busy(site.url(), tmp_path) as (opened, ids):
        await lose(site)
        await all_done(opened, ids)

        # For those that publish to it, and for people.
        async def restored() -> bool:
            async with await aio_pika.connect(site.url()) as connection:
                try:
                    await (await connection.channel()).get_exchange(EXCHANGE)
                except aio_pika.exceptions.ChannelNotFoundEntity:
                    return False
            async with site.broker() as other:
                return [depth.partition.type for depth in await other.depths()] == ["test.step"]

        await until(restored, within=10 * EVERY + 10, what="exchange and directory are there again")


def _begin_anew(site: Site, coordinator: RedisServer | None) -> None:
    """Kill the servers and start them again without any of their data."""
    site.server.kill()
    if coordinator is not None:
        coordinator.process.kill()
        coordinator.process.start()
    site.server.start_empty(site.vhost)


# The broker alone is what `delete_everything` takes, too.
@pytest.mark.parametrize(
    "both", [pytest.param(False, marks=campaign, id="rabbitmq"), pytest.param(True, id="and-redis")]
)
async def test_servers_that_lose_all_their_data_cost_no_job(site: Site, tmp_path: Path, both: bool) -> None:
    """nothing-lost, single-effect, order."""
    async with AsyncExitStack() as stack:
        coordinator = None
        variables = {}
        if both:
            coordinator = await asyncio.to_thread(start_server)
            stack.callback(coordinator.process.kill)
            variables = {"COORDINATOR_URL": coordinator.url()}
        opened, ids = await stack.enter_async_context(busy(site.url(), tmp_path, **variables))
        await asyncio.to_thread(_begin_anew, site, coordinator)
        await all_done(opened, ids)
