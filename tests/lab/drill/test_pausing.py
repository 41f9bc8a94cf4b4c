"""On embedded backends a paused worker stands where the others can go on."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import anyio
import pytest
from pydantic import SecretStr

from jobkit.backends.registry import open_planes
from jobkit.lab.drill.environment import WorkerProcess
from jobkit.lab.drill.pausing import pause
from jobkit.model.clock import SystemClock
from jobkit.ports.coordinator import Granted
from jobkit.ports.planes import Planes
from jobkit.settings import Settings

# Nearly always in the middle of a transaction. Each line that it writes is the beginning of one.
BUSY = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], timeout=60, isolation_level=None)
while True:
    connection.execute("BEGIN IMMEDIATE")
    print("in a transaction", flush=True)
    time.sleep(0.3)
    connection.execute("COMMIT")
    time.sleep(0.1)
"""


@pytest.fixture
async def planes(tmp_path: Path) -> AsyncIterator[Planes]:
    url = SecretStr(f"sqlite:///{tmp_path / 'drill.db'}")
    settings = Settings(broker_url=url, coordinator_url=url, store_url=url, blobs_url=SecretStr(f"file://{tmp_path}/b"))
    async with open_planes(settings) as opened:
        yield opened


@pytest.fixture
def busy(planes: Planes, tmp_path: Path) -> Iterator[WorkerProcess]:
    process = subprocess.Popen([sys.executable, "-c", BUSY, tmp_path / "drill.db"], stdout=subprocess.PIPE)
    try:
        yield WorkerProcess("far-1", "far", 0, tmp_path / "far-1.log", {}, process)
    finally:
        process.kill()
        process.communicate()


async def in_a_transaction(worker: WorkerProcess) -> None:
    assert worker.process.stdout is not None
    assert await anyio.to_thread.run_sync(worker.process.stdout.readline)


async def test_a_worker_is_not_left_in_the_middle_of_a_transaction(planes: Planes, busy: WorkerProcess) -> None:
    await in_a_transaction(busy)
    await pause(busy, planes.coordinator, SystemClock())
    assert busy.stopped[-1][1] == float("inf")
    with anyio.fail_after(30):
        assert isinstance(await planes.coordinator.claim("t/k", owner="me", nonce="n", ttl=10.0), Granted)


async def test_a_worker_that_shares_no_file_is_stopped_where_it_is(planes: Planes, busy: WorkerProcess) -> None:
    await in_a_transaction(busy)
    await pause(busy, None, SystemClock())
    assert len(busy.stopped) == 1
    with anyio.move_on_after(0.5) as waited:
        await planes.coordinator.claim("t/k", owner="me", nonce="n", ttl=10.0)
    assert waited.cancelled_caught
