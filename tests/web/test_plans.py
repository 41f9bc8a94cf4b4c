"""No page scans a table that grows: each query of each page, as SQLite plans it."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from typing import Any

import pytest

from tests.web.site import Site, site
from tests.web.test_pages import pages_of

# What these hold is bounded by how much runs, is declared, or is done by hand.
_SMALL = {"assigned", "audit", "coordinator", "coordinators", "layouts", "leases", "limits", "members", "pauses"}
_SMALL |= {"queues", "retention", "schedules", "tallies", "types", "waiting", "uses", "found", "json_each", "CONSTANT"}


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> list[sqlite3.Connection]:
    """The databases that are opened from now on."""
    opened: list[sqlite3.Connection] = []
    connect = sqlite3.connect

    def connecting(*args: Any, **kwargs: Any) -> sqlite3.Connection:
        opened.append(connect(*args, **kwargs))
        return opened[-1]

    monkeypatch.setattr(sqlite3, "connect", connecting)
    return opened


def _scans(connection: sqlite3.Connection, statement: str) -> Iterator[str]:
    """Yield what a statement looks through whole, but for what a page of it in the order of an index stops."""
    plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}")]
    stops = "LIMIT" in statement and not any("TEMP B-TREE" in line for line in plan)
    for line in plan:
        scanned = re.match(r"SCAN (?:TABLE )?(\w+)", line)
        if scanned and scanned[1] not in _SMALL and not stops:
            yield f"{line}: {' '.join(statement.split())[:300]}"


async def test_no_page_scans_a_table_that_grows(connections: list[sqlite3.Connection]) -> None:
    async with site() as made:
        # The other ones are opened by checks, for a moment.
        connection = connections[0]
        asked = await _asked(made, connection)
        assert len(asked) > 20
        found = sorted({found for statement in asked for found in _scans(connection, statement)})
        assert not found, "\n".join(found)


async def _asked(made: Site, connection: sqlite3.Connection) -> set[str]:
    """Return the queries of all pages, whatever was seen before."""
    paths = [*await pages_of(made), "/groups", "/jobs?state=queued&tag=x", "/jobs?since=2023-11-15T00:00"]
    asked: set[str] = set()
    connection.set_trace_callback(asked.add)
    for path in paths:
        if "verify?run" not in path:
            await made.reader().get(path)
    connection.set_trace_callback(None)
    return {said for said in asked if said.lstrip().startswith(("SELECT", "WITH"))}
