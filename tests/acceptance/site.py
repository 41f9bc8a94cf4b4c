"""A site of real worker processes on embedded backends, for tests that kill, stop and restart them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import anyio

from jobkit.backends.registry import open_planes
from jobkit.client import Client
from jobkit.plugin.loading import load_plugins
from jobkit.ports.planes import Planes
from jobkit.settings import Settings

_REPOSITORY = Path(__file__).parents[2]


@dataclass
class WorkerProcess:
    """One worker; what it logs (JSON lines) goes to a file."""

    process: subprocess.Popen[bytes]
    log: Path

    @property
    def pid(self) -> int:
        return self.process.pid

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.process.pid, number)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def events(self) -> list[dict[str, object]]:
        """Return what it logged so far; a line cut off by a kill does not count."""
        found = []
        for line in self.log.read_text().splitlines():
            try:
                found.append(json.loads(line))
            except ValueError:
                continue
        return found

    def said(self, event: str) -> bool:
        return any(entry.get("event") == event for entry in self.events())


@dataclass
class Site:
    """Planes and client of this process, and the worker processes that share the database."""

    root: Path
    environment: dict[str, str]
    planes: Planes
    client: Client
    workers: list[WorkerProcess] = field(default_factory=list)

    def start(self, *types: str, **extra: str) -> WorkerProcess:
        log = self.root / f"worker-{len(self.workers)}.log"
        with log.open("wb") as stderr:
            process = subprocess.Popen(
                [sys.executable, "-m", "jobkit", "worker", *types],
                env={**os.environ, **self.environment, **extra},
                cwd=_REPOSITORY,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
            )
        worker = WorkerProcess(process, log)
        self.workers.append(worker)
        return worker


@asynccontextmanager
async def open_site(root: Path, **variables: str) -> AsyncIterator[Site]:
    """Make a site under `root`; `variables` are settings without their prefix. All its processes end with it."""
    database = f"sqlite:///{root / 'site.db'}"
    values = {
        "BROKER_URL": database,
        "COORDINATOR_URL": database,
        "STORE_URL": database,
        "BLOBS_URL": f"file://{root / 'blobs'}",
        "PLUGINS": "tests.acceptance.plugin",
        "LEASE_TTL": "1.5",
        "LEASE_GUARD": "0.3",
        "RELAY_GRACE": "0.5",
        "LOG_FORMAT": "json",
        **variables,
    }
    environment = {f"JOBKIT_{name}": value for name, value in values.items()}
    settings = Settings.model_validate({name.lower(): value for name, value in values.items()})
    registry = load_plugins(settings.plugins)
    async with open_planes(settings) as planes:
        site = Site(root, environment, planes, Client(planes, registry, settings))
        try:
            yield site
        finally:
            for worker in site.workers:
                if worker.process.poll() is None:
                    worker.signal(signal.SIGCONT)
                    worker.kill()


async def until(condition: Callable[[], Awaitable[bool]], *, within: float, what: str) -> None:
    """Wait for `condition`, looking often; fail naming `what` after `within` seconds."""
    with anyio.move_on_after(within):
        while True:
            began = time.monotonic()
            if await condition():
                return
            # Whoever is waited for needs the processor more than whoever looks.
            await anyio.sleep(max(0.05, 4 * (time.monotonic() - began)))
    raise AssertionError(f"not within {within:g} s: {what}")
