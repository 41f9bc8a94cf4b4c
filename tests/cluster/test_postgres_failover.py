"""PostgreSQL whose standby takes over: by the lines of the page on a lost region, and without the last moments."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import anyio
import asyncpg
import pytest

from jobkit.backends.postgres.address import parse_address
from jobkit.backends.postgres.migrations import migrate
from jobkit.lab.servers.postgres import PostgresServer, installed_programs
from jobkit.lab.servers.rabbitmq import RabbitServer
from jobkit.lab.servers.rabbitmq import shared_server as rabbit_server
from jobkit.lab.servers.redis import RedisServer, start_server
from jobkit.ports.inspection import JobState
from tests.acceptance.site import Site, open_site, until
from tests.campaign.lost_moments import check_newer_jobs_win
from tests.campaign.names import TYPE
from tests.campaign.plugin import Step
from tests.lab.servers.postgres_standby import NAME, PostgresStandby

pytestmark = [
    pytest.mark.skipif("CAMPAIGN" not in os.environ, reason="`make campaign` runs it"),
    pytest.mark.slow,
    pytest.mark.servers("rabbitmq", "redis", "postgres"),
]

_PAGE = Path(__file__).parents[2] / "docs" / "deploying.md"
_KEYS, _EACH = 10, 4
_PATIENCE_SECONDS = 90.0
_TERMS = {"LEASE_TTL": "3", "LEASE_GUARD": "0.5", "PARTITIONS": "2", "REPUBLISH_SECONDS": "2", "CONCURRENCY": "4"}


def _lines() -> list[str]:
    """Return the commands that the page gives for a region that is lost for good."""
    text = _PAGE.read_text()
    steps = text[text.index("**Region A is lost for good**") :].partition("\n## ")[0]
    return [line.strip() for line in steps.splitlines() if line.startswith(" " * 9)]


@dataclass
class Region:
    """The servers that one region is home of, and the standby in the other."""

    primary: PostgresServer
    standby: PostgresStandby
    broker: RabbitServer
    vhost: str
    coordinator: RedisServer

    @property
    def variables(self) -> dict[str, str]:
        """The settings of clients and workers, which find the primary by themselves."""
        here, there = (f"127.0.0.1:{server.port}" for server in (self.primary, self.standby))
        return {
            "PLUGINS": "tests.campaign.plugin",
            "BROKER_URL": self.broker.url(self.vhost),
            "COORDINATOR_URL": self.coordinator.url(),
            "STORE_URL": self.primary.url().replace(here, f"{here},{there}"),
            **_TERMS,
        }

    async def follows(self) -> bool:
        """Tell whether the standby has all that the primary acknowledged."""
        connection = await asyncpg.connect(self.primary.url())
        try:
            lag = "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn) FROM pg_stat_replication"
            return bool(await connection.fetchval(lag) == 0)
        finally:
            await connection.close()

    async def run(self, line: str, **variables: str) -> None:
        """Run a line as somebody in the other region would."""
        found = [str(Path(sys.executable).parent), *map(str, installed_programs()), os.environ["PATH"]]
        environment = {**os.environ, **variables, "STANDBY": self.standby.url(), "PATH": os.pathsep.join(found)}
        await anyio.run_process(["/bin/sh", "-c", line], env=environment)


@pytest.fixture
def region() -> Iterator[Region]:
    with ExitStack() as stack:
        folders = [Path(tempfile.mkdtemp(prefix="jobkit-postgres-")) for _ in range(2)]
        for folder in folders:
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
        primary = PostgresServer(folders[0])
        stack.callback(primary.kill)
        primary.start()
        asyncio.run(migrate(parse_address(primary.url())))
        # What a copy inherits; the standby is who is waited for.
        asyncio.run(primary.execute(f"ALTER SYSTEM SET synchronous_standby_names = '{NAME}'"))
        standby = PostgresStandby(folders[1], primary)
        stack.callback(standby.kill)
        standby.start()
        broker = rabbit_server()
        # As an earlier test may have left it.
        broker.start()
        vhost = stack.enter_context(broker.vhost())
        coordinator = start_server({"appendonly": "yes"})
        stack.callback(coordinator.process.kill)
        yield Region(primary, standby, broker, vhost, coordinator)


async def _committed(site: Site) -> int:
    return (await site.planes.inspection.counts()).jobs.get(JobState.COMMITTED, 0)


async def test_the_lines_of_the_page_bring_back_a_region_that_is_lost_for_good(region: Region, tmp_path: Path) -> None:
    """nothing-lost, single-effect, order: jobs that ran, that waited, and whose messages went with the broker."""
    promote, look = _lines()
    await region.primary.execute("SELECT pg_reload_conf()")
    async with open_site(tmp_path, **region.variables) as site:
        site.start(TYPE)
        jobs = [
            site.client.job(TYPE, Step(on=f"key-{key}", number=number, seconds=0.3))
            for key in range(_KEYS)
            for number in range(1, 1 + _EACH)
        ]
        await site.client.submit_many(jobs)

        async def some() -> bool:
            return await _committed(site) >= _KEYS

        await until(some, within=_PATIENCE_SECONDS, what="some are done, some are under way and some wait")
        for kill in (region.primary.kill, region.broker.kill, region.coordinator.process.kill):
            await asyncio.to_thread(kill)
        await region.run(promote)
        await asyncio.to_thread(region.broker.start_empty, region.vhost)
        await asyncio.to_thread(region.coordinator.start_empty)

        async def everything() -> bool:
            return await _committed(site) == len(jobs)

        await until(everything, within=_PATIENCE_SECONDS, what="all that was accepted is done")
        await region.run(look, **site.environment)
        for key in range(_KEYS):
            log = await site.planes.inspection.log(TYPE, f"key-{key}")
            assert [entry.sequence for entry in log] == list(range(1, 1 + _EACH))


async def test_after_an_asynchronous_failover_newer_jobs_win_over_those_that_were_lost(
    region: Region, tmp_path: Path
) -> None:
    promote, _ = _lines()
    # The setting is there, for the copy to inherit, and is not in force: nobody waits for the standby.
    async with open_site(tmp_path, **region.variables) as site:

        async def fall_behind() -> None:
            await until(region.follows, within=_PATIENCE_SECONDS, what="the standby has all")
            await asyncio.to_thread(region.standby.stop)

        async def fail_over() -> None:
            await asyncio.to_thread(region.primary.kill)
            await asyncio.to_thread(region.standby.start)
            await region.run(promote)

        await check_newer_jobs_win(site, fall_behind, fail_over)
