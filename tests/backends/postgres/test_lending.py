"""Connections are lent to whoever needs one, and nobody waits for one to be made while another is free."""

from __future__ import annotations

import asyncio
import time

import asyncpg

from jobkit.backends.postgres.address import parse_address
from jobkit.backends.postgres.pool import WORK_CONNECTIONS, ConnectionPool, query
from jobkit.lab.servers.proxy import Proxy
from tests.lab.servers.postgres import TestServer

# A round trip on a slow link. To make a connection takes several of them.
_TRIP_SECONDS = 0.2

_KNOWN = "SELECT 'known'"
# In the session that asks, which it keeps for a moment so that the others ask in theirs.
_KNOWS = "SELECT EXISTS (SELECT FROM pg_prepared_statements WHERE statement = $1) AS known, pg_sleep(0.2)"
_SESSIONS = """
    SELECT array_agg(state ORDER BY state) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


async def test_on_a_slow_link_nobody_waits_for_a_connection_to_be_made(
    server: TestServer, database: str, proxy: Proxy
) -> None:
    pool = await ConnectionPool(parse_address(server.url(database, port=proxy.port))).open()
    try:
        await pool.run(query("SELECT 1"))
        proxy.delay(_TRIP_SECONDS / 2)
        started = time.monotonic()
        await asyncio.gather(*(pool.run(query("SELECT 1")) for _ in range(WORK_CONNECTIONS)))
        assert time.monotonic() - started < (WORK_CONNECTIONS + 2) * _TRIP_SECONDS
    finally:
        await pool.aclose()


async def test_a_worker_has_all_of_them_before_a_link_becomes_slow_and_they_know_its_statements(url: str) -> None:
    pool = await ConnectionPool(parse_address(url)).open()
    looking = await asyncpg.connect(url)
    try:
        await pool.run(query("SELECT 1"))
        pool.keep_ready(_KNOWN)
        # Not "active": what is prepared and not over would run into the time limit of a statement.
        while await looking.fetchval(_SESSIONS) != ["idle"] * WORK_CONNECTIONS:  # noqa: ASYNC110  (the server tells nobody)
            await asyncio.sleep(0.01)
        together = await asyncio.gather(*(pool.run(query(_KNOWS, _KNOWN)) for _ in range(WORK_CONNECTIONS)))
        # All but the one that was there before.
        assert sorted(row["known"] for (row,) in together) == [False, True, True, True]
    finally:
        await looking.close()
        await pool.aclose()


async def test_as_many_are_made_as_are_needed_at_once(url: str) -> None:
    pool = await ConnectionPool(parse_address(url)).open()
    try:
        await pool.run(query("SELECT 1"))
        started = time.monotonic()
        await asyncio.gather(*(pool.run(query("SELECT pg_sleep(0.3)")) for _ in range(2 * WORK_CONNECTIONS)))
        together = time.monotonic() - started
        assert 0.6 <= together < 1.8, "one after another they take 2.4 seconds"
    finally:
        await pool.aclose()
