"""Split brain among real processes: told with the names of both workers, and harmless."""

from __future__ import annotations

import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from jobkit.ops.verify import verify
from jobkit.ports.inspection import JobState
from tests.acceptance.plugin import Step
from tests.acceptance.site import Site, WorkerProcess, open_site, until
from tests.acceptance.test_pause import _pause

pytestmark = pytest.mark.slow


async def _finish(site: Site, id: str) -> str:
    """Wait for a job to commit and return who did it."""
    async for record in site.client.watch(id, timeout=60):
        last = record
    assert last.state is JobState.COMMITTED
    return last.owner or ""


async def _begun(site: Site, id: str) -> str:
    """Wait for a job to be worked on and return who does."""

    async def begun() -> bool:
        return (await site.client.status(id)).progress > 0

    await until(begun, within=30, what="the first worker begins")
    return (await site.client.status(id)).owner or ""


async def _evidence(worker: WorkerProcess) -> dict[str, object]:
    async def told() -> bool:
        return worker.said("split brain")

    await until(told, within=30, what="the evidence is told")
    return next(event for event in worker.events() if event["event"] == "split brain")


async def test_a_worker_that_was_stopped_too_long_tells_who_took_over(tmp_path: Path) -> None:
    async with open_site(tmp_path) as site:
        submitted = await site.client.submit("test.slow", Step(on="one", number=1, seconds=3))
        paused = site.start("test.slow")
        first = await _begun(site, submitted.id)
        await _pause(site, paused)
        site.start("test.slow")
        second = await _finish(site, submitted.id)
        paused.signal(signal.SIGCONT)
        told = await _evidence(paused)
        assert (told["worker"], told["other"]) == (first, second)
        assert told["kind"] in ("overlap", "stale_write")
        assert told["resource"] == "test.slow/one"
        assert str(told["effect"]).startswith("refused")
        assert first != second
        assert (await verify(site.planes)).findings == []


async def test_a_coordinator_that_lost_its_data_is_found_out_by_its_tokens(tmp_path: Path) -> None:
    coordinator = tmp_path / "coordinator.db"
    async with open_site(tmp_path, COORDINATOR_URL=f"sqlite:///{coordinator}") as site:
        worker = site.start("test.slow")
        for number in range(3):
            await _finish(site, (await site.client.submit("test.slow", Step(on="one", number=number))).id)
        submitted = await site.client.submit("test.slow", Step(on="one", number=9, seconds=3))
        first = await _begun(site, submitted.id)
        await _pause(site, worker)
        with closing(sqlite3.connect(coordinator, timeout=30)) as database, database:
            database.execute("DELETE FROM leases")
            database.execute("DELETE FROM members")
            database.execute("UPDATE tokens SET highest = 0")
        other = site.start("test.slow")
        second = await _finish(site, submitted.id)
        told = await _evidence(other)
        assert (told["kind"], told["worker"], told["other"]) == ("token_backwards", second, first)
        assert isinstance(told["token"], int)
        assert isinstance(told["mark"], int)
        assert told["token"] < told["mark"]
        worker.signal(signal.SIGCONT)
        assert (await verify(site.planes)).findings == []
