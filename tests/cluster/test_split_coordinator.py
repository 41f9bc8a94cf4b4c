"""A coordinator that has split: two workers that each lead everything, on one broker and one store."""

from __future__ import annotations

import os
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path

import anyio
import pytest

from jobkit.lab.servers.proxy import Proxy
from jobkit.lab.servers.rabbitmq import shared_server as rabbit_server
from jobkit.lab.servers.redis import RedisServer, start_server
from jobkit.ports.coordinator import Coordinator
from jobkit.ports.inspection import JobState
from tests.acceptance.site import open_site, until
from tests.backends.redis.opened import coordinator, eventually
from tests.cluster.plugin import TYPE, Slow
from tests.lab.servers.postgres import ready_server

pytestmark = [
    pytest.mark.skipif("CAMPAIGN" not in os.environ, reason="`make campaign` runs it"),
    pytest.mark.slow,
    pytest.mark.servers("rabbitmq", "redis", "postgres"),
]

_JOBS = 6
_JOB_SECONDS = 5.0
_PARTITIONS = 2
_PATIENCE_SECONDS = 120.0
# Both begin a job, and give way to each other for longer and longer. Without that it was 32 starts in 45 s.
_MOST_STARTS = 12


async def _owners(on: Coordinator) -> list[str]:
    return [lease.owner for lease in await on.leases(f"leader/{TYPE}/")]


async def test_two_sides_do_not_take_a_job_from_each_other_for_ever(tmp_path: Path) -> None:
    """single-effect, and an end: of two workers that outbid each other, one gives way."""
    async with AsyncExitStack() as stack:

        def redis(**settings: str) -> RedisServer:
            started = start_server({"repl-diskless-sync-delay": "0", **settings})
            stack.callback(started.process.kill)
            return started

        one = redis()
        other = redis(replicaof=f"127.0.0.1 {one.port}")
        await eventually(lambda: other.call("INFO", "replication").get("master_link_status") == "up")
        way = await stack.enter_async_context(Proxy(one.port))
        broker = await anyio.to_thread.run_sync(rabbit_server)
        broker.start()
        server = await ready_server()
        database = await stack.enter_async_context(server.own_database())
        site = await stack.enter_async_context(
            open_site(
                tmp_path,
                PLUGINS="tests.cluster.plugin",
                BROKER_URL=broker.url(stack.enter_context(broker.vhost())),
                COORDINATOR_URL=one.url(),
                STORE_URL=server.url(database),
                LEASE_TTL="3",
                LEASE_GUARD="0.5",
                PARTITIONS=str(_PARTITIONS),
            )
        )
        here = await stack.enter_async_context(coordinator(one.url()))
        there = await stack.enter_async_context(coordinator(other.url()))
        site.start(TYPE)
        site.start(TYPE, JOBKIT_COORDINATOR_URL=one.url(port=way.port))

        async def shared() -> bool:
            return len(set(await _owners(here))) == 2

        await until(shared, within=_PATIENCE_SECONDS, what="both lead something")
        other.call("REPLICAOF", "NO", "ONE")
        way.lead_to(other.port)

        async def split() -> bool:
            sides = [await _owners(on) for on in (here, there)]
            return all(len(side) == _PARTITIONS and len(set(side)) == 1 for side in sides) and sides[0] != sides[1]

        await until(split, within=_PATIENCE_SECONDS, what="each leads everything")
        starts = tmp_path / "starts"
        for number in range(_JOBS):
            await site.client.submit(TYPE, Slow(on=f"key-{number}", seconds=_JOB_SECONDS, starts=starts))

        async def done() -> bool:
            return (await site.planes.inspection.counts()).jobs.get(JobState.COMMITTED, 0) == _JOBS

        await until(done, within=_PATIENCE_SECONDS, what="all are done, on whichever side")
        for number in range(_JOBS):
            assert len(await site.planes.inspection.log(TYPE, f"key-{number}")) == 1
        assert (await site.planes.inspection.counts()).dead == 0
        counted = Counter(line.split()[0] for line in starts.read_text().splitlines())
        assert max(counted.values()) <= _MOST_STARTS, counted
