"""Processes that die without warning leave the old state or the new one, and never anything between."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from contextlib import closing
from pathlib import Path
from typing import Any

from jobkit.backends.sqlite.engine import open_engine
from jobkit.backends.sqlite.store import SqliteStore
from jobkit.model.clock import SystemClock
from jobkit.ports.inspection import JobState
from tests.backends.busy import KEYS
from tests.backends.children import python, run
from tests.backends.crasher import OPERATIONS

KILLS = 25


def rows(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Return everything in a database."""
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {table: connection.execute(f"SELECT * FROM {table}").fetchall() for table in tables}  # noqa: S608


def test_a_process_that_dies_between_any_two_statements_leaves_all_or_nothing(tmp_path: Path) -> None:
    run(python("tests.backends.crasher", tmp_path))
    for operation in OPERATIONS:
        crashed = sorted(tmp_path.glob(f"{operation}-*.db"))
        # BEGIN, at least one statement, COMMIT, and the one that lived to the end.
        assert len(crashed) >= 4, operation
        assert crashed[-1].with_suffix(".done").exists()
        before, after = rows(crashed[0]), rows(crashed[-1])
        assert before != after, operation
        for path in crashed[:-1]:
            assert rows(path) == before, path.name


async def test_workers_killed_at_random_lose_no_job_and_repeat_no_effect(tmp_path: Path) -> None:
    path = str(tmp_path / "jobkit.db")
    run(python("tests.backends.busy", path, KILLS))
    await check(path)


async def check(path: str) -> None:
    rows(Path(path))
    async with open_engine(path, SystemClock()) as engine:
        store = SqliteStore(engine)
        jobs = await store.jobs(limit=1_000_000)
        total = 0
        unfinished: dict[str, list[str]] = defaultdict(list)
        for job in jobs:
            if job.state is not JobState.COMMITTED:
                unfinished[job.key].append(job.id)
        for number in range(KEYS):
            key = f"k{number}"
            log = await store.log("t", key, limit=1_000_000)
            steps = [int(entry.data) for entry in log]
            assert steps == list(range(1, len(steps) + 1))
            assert [entry.sequence for entry in log] == steps
            assert [entry.position for entry in log] == steps
            assert [entry.token for entry in log] == sorted(entry.token for entry in log)
            # Exactly the successor of the last committed job is still to be done.
            assert unfinished[key] == [f"{key}-{len(steps) + 1}"]
            if steps:
                assert await store.record("t", key, "last") == str(len(steps)).encode()
            total += len(steps)
        counts = await store.counts()
        assert counts.jobs[JobState.COMMITTED] == total
        assert total > KEYS * 2, "the processes were killed before they did anything"
