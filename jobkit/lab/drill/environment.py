"""Where a drill takes place: servers of its own, and two regions of worker processes.

Each worker reaches each server by a proxy of its own, so that a region can be slowed down, cut off and healed. On
embedded backends there is no network to make trouble on; there, processes are stopped and killed instead.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import SecretStr

from jobkit.backends.registry import migrate_store
from jobkit.errors import JobkitError
from jobkit.lab.drill.plugin import TRACE_VARIABLE
from jobkit.lab.drill.protections import BROKEN_VARIABLE, SHARED_VARIABLE, Protection
from jobkit.lab.servers.base import free_port
from jobkit.lab.servers.proxied import proxied
from jobkit.lab.servers.proxy import Proxy
from jobkit.lab.servers.together import start_together
from jobkit.model.plane import Plane
from jobkit.settings import Settings

PLANES = ("broker", "coordinator", "store")
REGIONS = ("near", "far")
WORKERS_PER_REGION = 2
_LOG_TAIL_CHARACTERS = 2_000
_STOP_SECONDS = 20.0


class DrillFailed(JobkitError):
    """The drill could not be carried out; that says nothing of what it was to show."""


@dataclass
class WorkerProcess:
    """One worker: its region, its proxies by plane (none on embedded backends), and its process.

    `stopped` are the spans of monotonic time in which the drill had it stopped; an open one ends at infinity.
    """

    name: str
    region: str
    metrics_port: int
    log: Path
    proxies: Mapping[str, Proxy]
    process: subprocess.Popen[bytes]
    stopped: list[tuple[float, float]] = field(default_factory=list)

    def stop(self) -> None:
        """Stop the process where it is, as a paused virtual machine."""
        self.process.send_signal(signal.SIGSTOP)
        self.stops()

    def stops(self) -> None:
        """Take note that the process stops by itself."""
        self.stopped.append((time.monotonic(), float("inf")))

    def resume(self) -> None:
        """Resume it."""
        if self.stopped and self.stopped[-1][1] == float("inf"):
            self.stopped[-1] = (self.stopped[-1][0], time.monotonic())
            self.process.send_signal(signal.SIGCONT)


@dataclass
class Site:
    """The servers' own URLs by plane, and the workers."""

    directory: Path
    urls: Mapping[str, str]
    blobs: str
    embedded: bool
    workers: list[WorkerProcess] = field(default_factory=list)

    @property
    def trace(self) -> Path:
        """The file that processors write to when they begin and end."""
        return self.directory / "trace.jsonl"

    @property
    def shared(self) -> Path:
        """The folder by which the drill and its workers tell each other of what is not jobkit's."""
        return self.directory / "shared"

    def of(self, region: str) -> list[WorkerProcess]:
        """Return a region's workers."""
        return [worker for worker in self.workers if worker.region == region]

    def ways(self, region: str, *planes: str) -> Iterator[Proxy]:
        """Yield the proxies of a region's workers to these planes, to all of them by default."""
        for worker in self.of(region):
            yield from (proxy for plane, proxy in worker.proxies.items() if plane in (planes or PLANES))


@asynccontextmanager
async def open_site(settings: Mapping[str, str], *, embedded: bool, broken: Protection | None) -> AsyncIterator[Site]:
    """Start servers and workers; all of it ends with the block.

    `settings` are variables of the workers. Raises `ServerMissing` where a server is not installed.
    """
    async with AsyncExitStack() as stack:
        directory = Path(tempfile.mkdtemp(prefix="jobkit-drill-"))
        stack.callback(shutil.rmtree, directory, ignore_errors=True)
        servers = stack.enter_context(ExitStack())
        site = Site(
            directory,
            _embedded(directory) if embedded else await asyncio.to_thread(_start_servers, directory, servers),
            f"file://{directory / 'blobs'}",
            embedded,
        )
        site.shared.mkdir()
        store = SecretStr(site.urls[Plane.STORE])
        await migrate_store(Settings.model_construct(store_url=store))
        stack.callback(_end, site)
        for region in REGIONS:
            for number in range(WORKERS_PER_REGION):
                await _add_worker(site, stack, f"{region}-{number + 1}", region, settings, broken)
        yield site


def _embedded(directory: Path) -> dict[str, str]:
    return dict.fromkeys(PLANES, f"sqlite:///{directory / 'drill.db'}")


def _start_servers(directory: Path, stack: ExitStack) -> dict[str, str]:
    # As a coordinator is run that may lose its last second.
    settings = {"appendonly": "yes", "appendfsync": "everysec"}
    return start_together(directory, stack, redis_settings=settings, postgres=True)


async def _add_worker(
    site: Site,
    stack: AsyncExitStack,
    name: str,
    region: str,
    settings: Mapping[str, str],
    broken: Protection | None,
) -> None:
    proxies: dict[str, Proxy] = {}
    urls = dict(site.urls)
    if not site.embedded:
        proxies, urls = await stack.enter_async_context(proxied(site.urls))
    metrics_port = free_port()
    variables = {f"JOBKIT_{plane.upper()}_URL": url for plane, url in urls.items()} | {
        "JOBKIT_BLOBS_URL": site.blobs,
        "JOBKIT_HEALTH_PORT": str(metrics_port),
        "JOBKIT_LOG_FORMAT": "json",
        TRACE_VARIABLE: str(site.trace),
        SHARED_VARIABLE: str(site.shared),
        BROKEN_VARIABLE: "" if broken is None else broken.value,
        **settings,
    }
    log = site.directory / f"{name}.log"
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("JOBKIT_", "OTEL_"))}
    process = await asyncio.to_thread(_start_worker, {**inherited, **variables}, log)
    site.workers.append(WorkerProcess(name, region, metrics_port, log, proxies, process))


def _start_worker(environment: Mapping[str, str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as out:
        command = [sys.executable, "-m", "jobkit.lab.drill.worker"]
        return subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out)


def _end(site: Site) -> None:
    for worker in site.workers:
        worker.resume()
        worker.process.terminate()
    for worker in site.workers:
        try:
            worker.process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            # The drill is over; what it found is written already.
            worker.process.kill()
            worker.process.wait()


def log_tail(worker: WorkerProcess) -> str:
    """Return the end of what a worker said."""
    return worker.log.read_text(errors="replace")[-_LOG_TAIL_CHARACTERS:]
