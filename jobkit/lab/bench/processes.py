"""The worker processes of a benchmark, and what they say of themselves as they end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path

import anyio
from anyio.abc import Process

from jobkit.errors import JobkitError
from jobkit.lab.bench.memory import resident_bytes
from jobkit.lab.bench.report import Account, Ceilings
from jobkit.settings import Settings

# What the ceilings talk to directly.
_AMQP = ("amqp:", "amqps:")
_REDIS = ("redis:", "rediss:")


class BenchFailed(JobkitError):
    """The benchmark's worker ended, or jobs did not commit."""


class Workers:
    """So many worker processes. Once they have ended, `accounts` holds what each of them has used."""

    def __init__(self, processes: Sequence[Process]) -> None:
        self.accounts: list[Account] = []
        self._processes = processes

    def memory(self) -> int:
        """Return their resident memory in bytes. Raises `BenchFailed` where one has ended."""
        for process in self._processes:
            if process.returncode is not None:
                raise BenchFailed(f"a worker ended with exit code {process.returncode}; its messages are above")
        return sum(resident_bytes(process.pid) for process in self._processes)


@asynccontextmanager
async def running_workers(type: str, count: int, environment: Mapping[str, str]) -> AsyncIterator[Workers]:
    """Run workers of one job type during the block, then have them drain and end. Raises `BenchFailed`."""
    with tempfile.TemporaryDirectory(prefix="jobkit-bench-") as directory:
        accounts = [Path(directory) / f"{number}.json" for number in range(count)]
        processes: list[Process] = []
        try:
            for account in accounts:
                command = [sys.executable, "-m", "jobkit", "bench-worker", type, str(account)]
                processes.append(
                    await anyio.open_process(
                        command, env={**os.environ, **environment}, stdout=subprocess.DEVNULL, stderr=None
                    )
                )
            workers = Workers(processes)
            yield workers
        finally:
            with anyio.CancelScope(shield=True):
                await _end(processes)
        workers.accounts = [read_account(account) for account in accounts]


def ceiling_urls(settings: Settings) -> tuple[str, str | None] | None:
    """Return the URLs on which ceilings can be measured: of an AMQP broker and, where one is in use, of a Redis.

    None without the former. Behind sentinels a Redis cannot be asked directly.
    """
    broker = settings.broker_url.get_secret_value()
    if not broker.startswith(_AMQP):
        return None
    urls = (settings.store_url.get_secret_value(), settings.coordinator_url.get_secret_value())
    return broker, next((url for url in urls if url.startswith(_REDIS)), None)


async def measure_ceilings(broker_url: str, redis_url: str | None, jobs: int) -> Ceilings:
    """Measure the ceilings in a process of their own. Raises `BenchFailed`."""
    # By way of its input: a command line with passwords in it would be for everybody to see.
    asked = json.dumps({"broker_url": broker_url, "redis_url": redis_url, "jobs": jobs}).encode()
    command = [sys.executable, "-m", "jobkit.lab.bench.ceilings"]
    done = await anyio.run_process(command, input=asked, stderr=None, check=False)
    if done.returncode != 0:
        raise BenchFailed(f"the ceilings could not be measured: exit code {done.returncode}; its messages are above")
    return Ceilings(**json.loads(done.stdout))


async def _end(processes: Sequence[Process]) -> None:
    for process in processes:
        if process.returncode is None:
            process.terminate()
    for process in processes:
        await process.wait()


def write_account(path: Path, account: Account) -> None:
    """Write this process's resource usage, for the benchmark that started it."""
    path.write_text(json.dumps(asdict(account)))


def read_account(path: Path) -> Account:
    """Return a worker's resource usage. Raises `BenchFailed` where it wrote none."""
    if not path.exists():
        raise BenchFailed("a worker exited without reporting its resource usage; its log is above")
    return Account(**json.loads(path.read_text()))
