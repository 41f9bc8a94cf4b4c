"""Real worker processes on a real server: what happens to the server or the way to it costs no job, and no process.

The store and the coordinator are files, so that only the broker is in trouble.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import aio_pika
import pytest

from jobkit.lab.servers.proxy import Proxy
from jobkit.ops.verify import verify
from jobkit.ports.inspection import JobRecord, JobState
from tests.acceptance.plugin import Step
from tests.acceptance.site import Site as Workers
from tests.acceptance.site import WorkerProcess, open_site, until
from tests.backends.rabbitmq.conftest import Site

KEYS, STEPS = 6, 60
campaign = pytest.mark.skipif("CAMPAIGN" not in os.environ, reason="`make campaign` runs it")


@asynccontextmanager
async def workers(site: Site, directory: Path, *, port: int | None = None, **variables: str) -> AsyncIterator[Workers]:
    """Open a site whose workers may reach the server by way of another port; this process goes the straight one."""
    settings = {"BROKER_URL": site.url(heartbeat=1), "PARTITIONS": "2", **variables}
    async with open_site(directory, **settings) as opened:
        if port is not None:
            opened.environment["JOBKIT_BROKER_URL"] = site.url(port=port, heartbeat=1)
        yield opened


async def ended(opened: Workers, ids: Sequence[str], *, within: float) -> list[JobRecord]:
    """Return the records of jobs once all of them have ended."""
    records: list[JobRecord] = []

    async def all_ended() -> bool:
        while len(records) < len(ids):
            record = await opened.client.status(ids[len(records)])
            if not record.state.ended:
                return False
            records.append(record)
        return True

    await until(all_ended, within=within, what="every job ends")
    return records


async def submit_slow(opened: Workers, on: str, seconds: float) -> str:
    return (await opened.client.submit("test.slow", Step(on=on, number=1, seconds=seconds))).id


def timed_out(worker: WorkerProcess) -> bool:
    return any("timed out" in str(event.get("error")) for event in worker.events())


@pytest.mark.parametrize("hold", [0.3, 600.0])
async def test_a_job_longer_than_the_servers_consumer_timeout_is_run_once(
    site: Site, tmp_path: Path, hold: float
) -> None:
    """As little as the server can do: it looks every half second for what was delivered over a second ago."""
    with site.server.set("consumer_timeout", "1000"), site.server.set("channel_tick_interval", "500"):
        async with workers(site, tmp_path, DELIVERY_HOLD=str(hold)) as opened:
            worker = opened.start("test.slow")
            ids = [await submit_slow(opened, key, 4.0) for key in ("a", "b", "a")]
            records = await ended(opened, ids, within=60)
            assert [(record.state, record.opens) for record in records] == [(JobState.COMMITTED, 1)] * 3
            assert worker.process.poll() is None
            # Where jobs are not moved into the in-flight table in time, the server ends their consumers.
            assert timed_out(worker) == (hold > 1)
            assert (await verify(opened.planes)).findings == []


async def test_what_waits_behind_a_full_worker_outlasts_the_consumer_timeout_too(site: Site, tmp_path: Path) -> None:
    with site.server.set("consumer_timeout", "1000"), site.server.set("channel_tick_interval", "500"):
        async with workers(site, tmp_path, DELIVERY_HOLD="0.3", PREFETCH="1", PARTITIONS="1") as opened:
            worker = opened.start("test.slow")
            ids = [await submit_slow(opened, key, 3.0) for key in "abc"]
            records = await ended(opened, ids, within=60)
            assert timed_out(worker)
            assert [(record.state, record.opens) for record in records] == [(JobState.COMMITTED, 1)] * 3
            started = [record.started_at or 0.0 for record in records]
            assert started == sorted(started)


async def cut(site: Site, proxy: Proxy) -> None:
    proxy.cut()


async def refuse_for_a_while(site: Site, proxy: Proxy) -> None:
    proxy.refuse()
    await asyncio.sleep(2)  # the length of the trouble, not a wait for anything
    proxy.heal()


async def fall_silent(site: Site, proxy: Proxy) -> None:
    proxy.hold()
    # The length of the trouble, not a wait for anything. After six seconds the workers miss the server's heartbeats.
    await asyncio.sleep(9)
    proxy.heal()


async def restart(site: Site, proxy: Proxy) -> None:
    await asyncio.to_thread(site.server.restart)


async def crash(site: Site, proxy: Proxy) -> None:
    await asyncio.to_thread(site.server.kill)
    await asyncio.to_thread(site.server.start)


async def run_short_of_memory(site: Site, proxy: Proxy) -> None:
    with site.server.short_of_memory():
        await asyncio.sleep(3)  # the length of the trouble, not a wait for anything


@pytest.mark.parametrize(
    "trouble",
    # A restart in order is what `test_long_job` has, too.
    [cut, refuse_for_a_while, fall_silent, pytest.param(restart, marks=campaign), crash, run_short_of_memory],
)
async def test_trouble_with_the_server_costs_no_job_no_order_and_no_process(
    site: Site, tmp_path: Path, trouble: Callable[[Site, Proxy], Awaitable[None]]
) -> None:
    async with Proxy(site.server.port) as proxy, workers(site, tmp_path, port=proxy.port) as opened:
        running = [opened.start("test.step") for _ in range(2)]
        jobs = [
            opened.client.job("test.step", Step(on=f"key-{key}", number=number, seconds=0.05))
            for number in range(1, STEPS + 1)
            for key in range(KEYS)
        ]
        half = len(jobs) // 2
        await opened.client.submit_many(jobs[:half])

        async def under_way() -> bool:
            # Both: a worker that cannot reach the server at its start ends.
            started = all(worker.said("worker started") for worker in running)
            return started and (await opened.planes.inspection.counts()).jobs.get(JobState.COMMITTED, 0) > 10

        await until(under_way, within=60, what="jobs commit")
        in_trouble = asyncio.create_task(trouble(site, proxy))
        # Accepted, whatever becomes of publishing them: that is the workers' to make good.
        await opened.client.submit_many(jobs[half:])
        await in_trouble
        records = await ended(opened, [job.envelope.id for job in jobs], within=90)
        assert {record.state for record in records} == {JobState.COMMITTED}
        for key in range(KEYS):
            log = await opened.planes.inspection.log("test.step", f"key-{key}")
            assert [json.loads(entry.data)["number"] for entry in log] == list(range(1, STEPS + 1))
        counts = await opened.planes.inspection.counts()
        assert (counts.dead, counts.parked, counts.outbox) == (0, 0, 0)
        assert [worker.process.poll() for worker in running] == [None, None]
        assert (await verify(opened.planes)).findings == []


async def test_a_node_killed_the_moment_its_queues_were_made_costs_no_job_and_no_process(
    site: Site, tmp_path: Path
) -> None:
    """RabbitMQ 3.10 leaves one of them without a leader; its partition's leader makes it anew."""
    async with workers(site, tmp_path) as opened:
        async with site.broker() as broker:
            await broker.declare("test.step", 2)
        await asyncio.to_thread(site.server.kill)
        await asyncio.to_thread(site.server.start)
        running = [opened.start("test.step") for _ in range(2)]
        jobs = [
            opened.client.job("test.step", Step(on=f"key-{key}", number=number))
            for number in range(1, 11)
            for key in range(KEYS)
        ]
        await opened.client.submit_many(jobs)
        records = await ended(opened, [job.envelope.id for job in jobs], within=120)
        assert {record.state for record in records} == {JobState.COMMITTED}
        assert [worker.process.poll() for worker in running] == [None, None]
        assert (await verify(opened.planes)).findings == []


async def test_a_worker_whose_queues_are_deleted_goes_on_with_new_ones(site: Site, tmp_path: Path) -> None:
    async with workers(site, tmp_path) as opened, await aio_pika.connect(site.url()) as connection:
        worker = opened.start("test.slow")
        await ended(opened, [await submit_slow(opened, "before", 0.0)], within=60)
        channel = await connection.channel()
        for number in range(2):
            await channel.queue_delete(f"jobkit.test.slow.{number}")

        async def told() -> bool:
            return any("is made again" in str(event.get("event")) for event in worker.events())

        await until(told, within=30, what="the worker makes the queues again")
        (record,) = await ended(opened, [await submit_slow(opened, "after", 0.0)], within=60)
        assert record.state is JobState.COMMITTED
        assert worker.process.poll() is None
