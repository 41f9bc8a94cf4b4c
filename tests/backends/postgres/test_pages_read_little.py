"""Each statement of the dashboard and of those who steer, as PostgreSQL runs it, reads little where there is much."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from jobkit.backends.postgres.job_search import LAST, last_query
from jobkit.backends.postgres.pool import prepare_session
from jobkit.backends.registry import memory_planes
from jobkit.model.job_filter import JobFilter
from jobkit.model.partition import Partition
from jobkit.model.pause import Scope
from jobkit.model.priority import Priority
from jobkit.ports.inspection import JobState
from jobkit.ports.planes import Planes
from jobkit.settings import Settings
from tests.backends.postgres.conftest import opened
from tests.lab.servers.postgres import TestServer
from tests.web.site import Site, site_over
from tests.web.test_pages import pages_of

pytestmark = pytest.mark.skipif("CAMPAIGN" not in os.environ, reason="`make campaign` runs it")

# Each of these has some hundreds of pages.
_LARGE = {"jobs", "keys", "outbox", "inflight", "parked", "dead"}
# A page of those that match looks at 5,000 jobs, and a gap that is resumed releases 32.
_PAGES = 1_500

Asked = dict[str, tuple[Any, ...]]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    """All statements that are asked from now on, with arguments that they were asked with last."""
    seen: Asked = {}
    fetch = asyncpg.Connection.fetch

    async def fetching(connection: Any, statement: str, *args: Any, **more: Any) -> Any:
        seen[statement] = args
        return await fetch(connection, statement, *args, **more)

    monkeypatch.setattr(asyncpg.Connection, "fetch", fetching)
    return seen


@asynccontextmanager
async def _site(url: str) -> AsyncIterator[Site]:
    settings = Settings(store_url="memory:", broker_url="memory:", coordinator_url="memory:")  # type: ignore[arg-type]
    async with memory_planes() as planes, opened(url) as store:
        await planes.broker.declare("note", settings.partitions)
        yield site_over(replace(planes, store=store, inspection=store), settings)


async def _look_at_pages(made: Site) -> None:
    paths = [
        *await pages_of(made),
        *(
            "/groups",
            "/jobs?type=t",
            "/jobs?type=none",
            "/jobs?state=queued&tag=x",
            "/jobs?type=t&key=stuck&state=dead",
        ),
        *("/jobs?state=running", "/jobs?since=1970-01-01T00:00", "/keys/t/stuck", "/keys/t/k5", "/dead?type=t"),
        *("/jobs/j5", "/jobs/w5", "/jobs/p5", "/jobs/d5", "/dead/5", "/do/skip-gap?type=t&key=stuck"),
    ]
    for path in paths:
        if "verify?run" not in path:
            assert (await made.reader().get(path)).status in (200, 303, 404), path


async def _steer(planes: Planes) -> None:
    """Ask for everything that people and leaders ask for."""
    store, inspection = planes.store, planes.inspection
    for type, key in ((None, None), ("t", None), ("t", "stuck"), ("none", "none")):
        for state in (None, *JobState):
            await inspection.find(JobFilter(type, key, state))
            if type is not None and state is not None and not state.ended:
                await inspection.unfinished(type, state, key=key)
    await inspection.running([("t", "stuck"), ("t", "k5")])
    for type in ("t", "none"):
        await inspection.dead(type=type)
    await inspection.gaps()
    await inspection.keys(after=("t", "k5"))
    for ids in (["w5", "w6"], ["p5"]):
        await inspection.reprioritize(ids, Priority.LOW)
        await inspection.republish(ids)
        await inspection.cancel(ids, by="me", reason="")
    await inspection.resume_gap("t", "stuck")
    await inspection.skip_gap("t", "stuck", before=2)
    await inspection.requeue_dead(5)
    await inspection.purge_dead(6)
    await inspection.pause(Scope("t", key="k5"), by="me", reason="")
    await inspection.resume(Scope("t", key="k5"))
    await inspection.overdue()
    await inspection.prune(older_than=timedelta(days=9999).total_seconds(), keep_at_most=1 << 30, batch=2)
    for partition in (Partition("t", 0), Partition("none", 0)):
        await store.adrift(partition, 8, after=0, upto=await store.horizon(), limit=100)
        await store.shelved(partition, limit=10)
        await store.shelved_keys(partition, limit=10)
    await store.outbox(older_than=-1, limit=10)
    await store.release_due(limit=10)
    await store.expire_due(limit=10)
    await store.pauses()


def _nodes(plan: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield plan
    for below in plan.get("Plans", ()):
        yield from _nodes(below)


async def test_no_page_and_no_command_reads_a_large_table_through(
    server: TestServer, full_database: str, asked: Asked
) -> None:
    await server.execute("ANALYZE", database=full_database)
    async with _site(server.url(full_database)) as made:
        await _look_at_pages(made)
        await _steer(made.planes)
    found = []
    connection = await asyncpg.connect(server.url(full_database))
    statements = dict(asked)
    try:
        await prepare_session(connection, lock_seconds=10.0)
        for statement, args in statements.items():
            if not statement.lstrip().upper().startswith(("SELECT", "WITH")):
                continue
            # The first also reads the catalogues. What it changes is undone.
            for _ in range(2):
                transaction = connection.transaction()
                await transaction.start()
                told = await connection.fetchval(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}", *args)
                await transaction.rollback()
            plan = json.loads(told)[0]["Plan"]
            read = plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
            scanned = {one.get("Relation Name") for one in _nodes(plan) if one["Node Type"] == "Seq Scan"} & _LARGE
            if scanned or read > _PAGES:
                found.append(f"{read} pages, scans {scanned}: {' '.join(statement.split())[:300]} {args!r:.200}")
    finally:
        await connection.close()
    assert len(statements) > 40
    assert not found, "\n".join(found)


async def test_jobs_of_a_rare_type_are_not_looked_for_through_all_others(
    server: TestServer, full_database: str
) -> None:
    await server.execute("ANALYZE", database=full_database)
    statement, args = last_query(JobFilter(state=JobState.QUEUED), ["none", "t"], LAST, 5_000)
    connection = await asyncpg.connect(server.url(full_database))
    try:
        plan = json.loads(await connection.fetchval(f"EXPLAIN (FORMAT JSON) {statement}", *args))[0]["Plan"]
    finally:
        await connection.close()
    assert [one["Index Name"] for one in _nodes(plan) if "Index Name" in one] == ["jobs_of_type"]
