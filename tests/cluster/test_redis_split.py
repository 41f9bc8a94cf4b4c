"""A Redis store whose primary is cut off from sentinel and replica: what it still takes, and what is told of it."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass

import pytest

from jobkit.backends.redis.diagnosis import diagnose
from jobkit.backends.redis.store import RedisStore
from jobkit.errors import Unavailable
from jobkit.lab.servers.proxy import Proxy
from jobkit.lab.servers.redis import DURABLE, RedisServer, start_server
from jobkit.model.envelope import Envelope
from jobkit.model.plane import Plane
from jobkit.ports.diagnosis import Status
from jobkit.ports.store import Opened, Superseded
from jobkit.testing.conformance.values import fence, submitted
from tests.backends.redis.opened import eventually, store

campaign = pytest.mark.skipif("CAMPAIGN" not in os.environ, reason="`make campaign` runs it")

# A replica that was silent for so long counts no more.
_LAG_SECONDS = "1"
_ACCEPTED = 20


@dataclass(frozen=True)
class Site:
    """The servers; sentinel and replica have one way to the primary, and who is beside it has another."""

    primary: RedisServer
    replica: RedisServer
    sentinel: RedisServer
    way: Proxy

    @property
    def url(self) -> str:
        """Whichever the sentinel names."""
        return f"redis+sentinel://127.0.0.1:{self.sentinel.port}/main/0"

    def in_step(self) -> bool:
        """Tell whether the replica has all that the primary has."""
        written = self.primary.call("INFO", "replication")["master_repl_offset"]
        return bool(self.replica.call("INFO", "replication").get("slave_repl_offset", -1) >= written)

    def failed_over(self) -> bool:
        """Tell whether the sentinel names the replica."""
        _, port = self.sentinel.call("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "main")
        return int(port) == self.replica.port

    async def split(self) -> None:
        """Drop what is sent on the way, and return once the replica is the primary of the other side, and named so."""
        self.way.hold()
        await eventually(self.failed_over)

    def guard(self) -> None:
        """Do what doctor says."""
        self.primary.call("CONFIG", "SET", "min-replicas-to-write", "1")
        self.primary.call("CONFIG", "SET", "min-replicas-max-lag", _LAG_SECONDS)


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with AsyncExitStack() as stack:
        primary = start_server({**DURABLE, "repl-diskless-sync-delay": "0", "repl-ping-replica-period": "1"})
        stack.callback(primary.process.kill)
        way = await stack.enter_async_context(Proxy(primary.port))
        replica = start_server({**DURABLE, "replicaof": f"127.0.0.1 {way.port}"})
        stack.callback(replica.process.kill)
        lines = [
            f"sentinel monitor main 127.0.0.1 {way.port} 1",
            "sentinel down-after-milliseconds main 500",
            "sentinel failover-timeout main 3000",
        ]
        await eventually(lambda: replica.call("INFO", "replication").get("master_link_status") == "up")
        # It looks for replicas as it starts, and then every ten seconds.
        sentinel = start_server(sentinel=lines)
        stack.callback(sentinel.process.kill)
        await eventually(lambda: sentinel.call("SENTINEL", "REPLICAS", "main"))
        yield Site(primary, replica, sentinel, way)


async def _accepted(on: RedisStore, when: str) -> list[Envelope]:
    return [await submitted(on, f"{when}-{number}", key=f"key-{number}") for number in range(_ACCEPTED)]


async def _doctor_says(site: Site) -> Status:
    found = await diagnose(site.url, Plane.STORE)
    return next(finding.status for finding in found if "min-replicas-to-write" in finding.what)


async def test_a_primary_that_does_what_doctor_says_takes_nothing_once_it_is_cut_off(site: Site) -> None:
    """nothing-lost: what nobody would see again is not accepted."""
    site.guard()
    assert await _doctor_says(site) is Status.OK
    async with store(site.primary.url()) as beside:
        before = await _accepted(beside, "before")
        await eventually(site.in_step)
        await site.split()
        # Whatever it took until then, it takes nothing any more once another one may.
        await eventually(lambda: site.primary.call("INFO", "replication").get("min_slaves_good_slaves") == 0)
        with pytest.raises(Unavailable, match="min-replicas-to-write"):
            await submitted(beside, "late")
        async with store(site.url) as elsewhere:
            assert {job.id for job in await elsewhere.jobs(limit=100)} == {job.id for job in before}


@campaign
async def test_jobs_that_a_primary_took_while_it_was_cut_off_are_lost_and_each_is_told(site: Site) -> None:
    """order: a message of one leaves the newer job of its sequence alone."""
    assert await _doctor_says(site) is Status.WARN
    async with store(site.primary.url()) as beside:
        before = await _accepted(beside, "before")
        await eventually(site.in_step)
        await site.split()
        lost = await _accepted(beside, "lost")
        async with store(site.url) as elsewhere:
            assert {job.id for job in await elsewhere.jobs(limit=100)} == {job.id for job in before}
            newer = await _accepted(elsewhere, "newer")
            assert [job.sequence for job in newer] == [job.sequence for job in lost]
            for job, message, next in zip(before, lost, newer, strict=True):
                under = fence()
                assert isinstance(await elsewhere.open(job, under), Opened)
                # The broker has kept what was published before the loss.
                answer = await elsewhere.open(message, under)
                assert isinstance(answer, Superseded), answer
                assert answer.sequence == next.sequence
