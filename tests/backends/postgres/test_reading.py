"""How much of the database is read: as little where there is much as where there is little, with no clock asked."""

from __future__ import annotations

import json

import asyncpg
import pytest

from tests.backends.postgres.conftest import MANY
from tests.lab.servers.postgres import TestServer

# Any of the tables has more pages than this.
_PAGES = 150


async def _pages_read(server: TestServer, database: str, call: str) -> int:
    """Return how many pages `call` looks at, its statements included, when it is made for the second time."""
    connection = await asyncpg.connect(server.url(database))
    try:
        # The first also reads the catalogues.
        for _ in range(2):
            told = await connection.fetchval(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) SELECT {call}")
        plan = json.loads(told)[0]["Plan"]
        return int(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])
    finally:
        await connection.close()


@pytest.mark.parametrize("analyzed", [False, True], ids=["young", "analyzed"])
async def test_forgetting_nothing_reads_next_to_nothing(server: TestServer, full_database: str, analyzed: bool) -> None:
    if analyzed:
        await server.execute("ANALYZE", database=full_database)
    assert await _pages_read(server, full_database, f"jobkit.prune(1e12, {MANY}, 2, 2, 3600, 32)") < _PAGES


@pytest.mark.parametrize("analyzed", [False, True], ids=["young", "analyzed"])
async def test_what_is_done_with_a_few_reads_a_few(server: TestServer, full_database: str, analyzed: bool) -> None:
    if analyzed:
        await server.execute("ANALYZE", database=full_database)
    calls = (
        f"jobkit.prune(0, {MANY}, 2, 2, 3600, 32)",
        "jobkit.resume_gap('t', 'stuck', 2)",
        "jobkit.published('{5, 6}')",
        "jobkit.republish('{w7, w8}')",
        "jobkit.fail_job('w9', 't', 'k9', 9, '', 1, 'x', 3, 0, 0)",
        "jobkit.note_interrupted('w9', 'n')",
        "jobkit.adrift('t', 1, 0, 0, 9000000, 5)",
        "jobkit.shelved_keys('t', 0, 'k5', 5)",
    )
    read = {call: await _pages_read(server, full_database, call) for call in calls}
    assert max(read.values()) < _PAGES, read
