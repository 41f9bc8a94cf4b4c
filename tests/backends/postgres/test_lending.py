"""Connections are lent to whoever needs one, and nobody waits for one to be made while another is free."""

from __future__ import annotations

import asyncio
import time

from jobkit.backends.postgres.address import parse_address
from jobkit.backends.postgres.pool import WORK_CONNECTIONS, ConnectionPool, query
from jobkit.lab.servers.proxy import Proxy
from tests.lab.servers.postgres import TestServer

# A round trip on a slow link. To make a connection takes several of them.
_TRIP_SECONDS = 0.2


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
