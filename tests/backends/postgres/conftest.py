"""Databases and stores for the tests of this backend."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from jobkit.backends.postgres.store import PostgresStore, open_store
from jobkit.lab.servers.proxy import Proxy
from jobkit.model.clock import SystemClock
from tests.lab.servers.postgres import TestServer, ready_server


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
