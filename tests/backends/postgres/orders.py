"""A table of a user's own, and what is in it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest

from jobkit.backends.postgres.store import PostgresStore
from jobkit.ports.inspection import JobState
from tests.lab.servers.postgres import TestServer

Connection = Any


@pytest.fixture
async def url(server: TestServer, own_database: str) -> str:
    await server.execute("CREATE TABLE orders (id integer PRIMARY KEY, total integer NOT NULL)", database=own_database)
    return server.url(own_database)


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Connection]:
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


async def orders(url: str) -> list[int]:
    async with connected(url) as connection:
        return [row["id"] for row in await connection.fetch("SELECT id FROM orders ORDER BY id")]


async def place_order(connection: Connection) -> None:
    await connection.execute("INSERT INTO orders VALUES (1, 100)")


async def state(store: PostgresStore, id: str) -> JobState:
    record = await store.job(id)
    assert record
    return record.state
