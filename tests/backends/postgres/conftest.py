"""Databases and stores for the tests of this backend."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from jobkit.backends.postgres.store import PostgresStore, open_store
from jobkit.lab.servers.proxy import Proxy
from jobkit.model.clock import SystemClock
from tests.lab.servers.postgres import TestServer, ready_server

MANY = 30_000

# Jobs that are settled, each with a key; jobs that wait in the outbox and in the in-flight table; and jobs of one key
# that are parked. Nobody has told the planner how much that is.
_FILL = f"""
    ALTER TABLE jobkit.jobs SET (autovacuum_enabled = off);
    ALTER TABLE jobkit.inflight DISABLE TRIGGER tally_row; ALTER TABLE jobkit.parked DISABLE TRIGGER tally_row;
    ALTER TABLE jobkit.dead DISABLE TRIGGER tally_row;
    INSERT INTO jobkit.keys (type, key, token, touched) SELECT 't', 'k' || n, n, 0 FROM generate_series(1, {MANY}) n;
    INSERT INTO jobkit.jobs (id, type, key, slot, digest, state, schema, submitted_at, result, ended, settled)
    SELECT 'j' || n, 't', 'k' || n, 0, '\\x00', 'committed', 1, n, 'null', n, n FROM generate_series(1, {MANY}) n;
    INSERT INTO jobkit.jobs (id, type, key, slot, digest, state, schema, submitted_at, entry, envelope)
    SELECT 'w' || n, 't', 'k' || n, 0, '\\x00', 'queued', 1, n, n,
           convert_to('{{"id":"w' || n || '","type":"t","key":"k' || n || '"}}' || chr(10) || '{{}}', 'UTF8')
    FROM generate_series(1, {MANY}) n;
    INSERT INTO jobkit.outbox (position, made, id) SELECT n, 0, 'w' || n FROM generate_series(1, {MANY}) n;
    INSERT INTO jobkit.inflight (id, type, number, key)
    SELECT 'w' || n, 't', 0, 'k' || n FROM generate_series(1, {MANY}) n;
    INSERT INTO jobkit.keys (type, key, token, touched) VALUES ('t', 'stuck', 1, 0);
    INSERT INTO jobkit.jobs (id, type, key, sequence, slot, digest, state, schema, submitted_at, envelope)
    SELECT 'p' || n, 't', 'stuck', n + 1, 0, '\\x00', 'parked', 1, n,
           convert_to('{{"id":"p' || n || '","type":"t","key":"stuck"}}' || chr(10) || '{{}}', 'UTF8')
    FROM generate_series(1, {MANY}) n;
    INSERT INTO jobkit.parked (type, key, sequence, id, reason, parked_at)
    SELECT 't', 'stuck', n + 1, 'p' || n, 'gap', 0 FROM generate_series(1, {MANY}) n;
    INSERT INTO jobkit.jobs (id, type, key, sequence, slot, digest, state, schema, submitted_at, ended)
    SELECT 'd' || n, 't', 'stuck', n + {MANY} + 1, 0, '\\x00', 'dead', 1, n, n FROM generate_series(1, {MANY}) n;
    INSERT INTO jobkit.dead (id, type, key, sequence, reason, detail, raw, died_at)
    SELECT 'd' || n, 't', 'stuck', n + {MANY} + 1, 'r', 'd', '{{}}', 0 FROM generate_series(1, {MANY}) n;
    INSERT INTO jobkit.tallies
    VALUES (0, {MANY}, 0, {MANY}, {MANY}, {MANY}, 0, 0, 0, {MANY}, {MANY + 1}, {MANY}, {MANY}, {MANY});
    ALTER TABLE jobkit.inflight ENABLE TRIGGER tally_row; ALTER TABLE jobkit.parked ENABLE TRIGGER tally_row;
    ALTER TABLE jobkit.dead ENABLE TRIGGER tally_row;
"""  # noqa: S608


@asynccontextmanager
async def opened(url: str, *, call_seconds: float = 10.0) -> AsyncIterator[PostgresStore]:
    """Open a store as a process would."""
    store = await open_store(url, SystemClock(), call_seconds=call_seconds)
    try:
        yield store
    finally:
        await store.aclose()


@pytest.fixture
async def server() -> TestServer:
    """The run's server, which no test may harm."""
    return await ready_server()


@pytest.fixture
async def database(server: TestServer) -> AsyncIterator[str]:
    """An empty, migrated database, whose tables a test must leave as they are."""
    async with server.database() as name:
        yield name


@pytest.fixture
async def url(server: TestServer, database: str) -> str:
    return server.url(database)


@pytest.fixture
async def store(url: str) -> AsyncIterator[PostgresStore]:
    async with opened(url) as store:
        yield store


@pytest.fixture
async def own_database(server: TestServer) -> AsyncIterator[str]:
    """A migrated database that a test may do anything to."""
    async with server.own_database() as name:
        yield name


@pytest.fixture
async def mortal() -> AsyncIterator[TestServer]:
    """A server that keeps what it acknowledged through its death, and is there to die."""
    server = await ready_server(durable=True)
    yield server
    server.resume()


@pytest.fixture
async def proxy(server: TestServer) -> AsyncIterator[Proxy]:
    async with Proxy(server.port) as between:
        yield between


@pytest.fixture
async def full_database(server: TestServer, own_database: str) -> str:
    """One with much in it."""
    await server.execute(_FILL, database=own_database)
    return own_database
