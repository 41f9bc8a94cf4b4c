"""Real worker processes on real servers, each process on ways of its own: proxies that trouble can be made at.

The proxies run in the event loop of the test. A supervisor starts again what was killed; anything else that ends by
itself is noted as wrong, for no process may need a restart.
"""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio

from jobkit.cli.exit_codes import ExitCode
from jobkit.lab.servers.proxy import Proxy
from jobkit.ops.verify import Violation
from jobkit.settings import Settings
from tests.acceptance.site import Site, WorkerProcess, open_site, until
from tests.campaign.names import METRICS_VARIABLE, TYPE, WRONG_CLOCK_VARIABLE
from tests.campaign.schedule import PLANES, Plane
from tests.campaign.servers import Servers, StoreKind, open_servers

_WATCH_SECONDS = 0.1
_START_AGAIN_SECONDS = 1.0
STARTED_SECONDS = 180.0


class Way:
    """The way from one worker to one server. It is whole again once no trouble is left, however many there were."""

    def __init__(self, proxy: Proxy) -> None:
        self.proxy = proxy
        self._troubles = 0

    @contextmanager
    def trouble(self, make: Callable[[Proxy], None]) -> Iterator[None]:
        """Make trouble for the block."""
        self._troubles += 1
        make(self.proxy)
        try:
            yield
        finally:
            self._troubles -= 1
            if not self._troubles:
                self.proxy.heal()


@dataclass
class Seat:
    """One of the cluster's workers: its ways, and the process that runs now. `killed` by the test, that is.

    `extra` are the variables of its environment, whichever process it is.
    """

    number: int
    ways: Mapping[Plane, Way]
    process: WorkerProcess
    extra: Mapping[str, str]
    killed: bool = False

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Stop the process for the block."""
        process = self.process
        _signal(process, signal.SIGSTOP)
        try:
            yield
        finally:
            _signal(process, signal.SIGCONT)


def _signal(process: WorkerProcess, number: signal.Signals) -> None:
    if process.process.poll() is None:
        process.signal(number)


@dataclass
class Cluster:
    """The servers, the test's own way to them, and the workers."""

    servers: Servers
    site: Site
    began: float
    types: Sequence[str] = (TYPE,)
    seats: list[Seat] = field(default_factory=list)
    history: list[tuple[float, str]] = field(default_factory=list)
    wrong: list[Violation] = field(default_factory=list)
    # When the coordinator may have lost what it knew: from and until, on the machine's clock.
    losses: list[tuple[float, float]] = field(default_factory=list)
    ending: bool = False
    _started: set[int] = field(default_factory=set)

    def note(self, what: str) -> None:
        """Write down that something happened now."""
        self.history.append((time.monotonic() - self.began, what))

    def start(self, seat: int, ways: Mapping[Plane, Way], **extra: str) -> WorkerProcess:
        urls = {f"JOBKIT_{plane.upper()}_URL": self.servers.url(plane, port=ways[plane].proxy.port) for plane in PLANES}
        metrics = self.site.root / f"metrics-{len(self.site.workers)}.jsonl"
        process = self.site.start(*self.types, **urls, **extra, **{METRICS_VARIABLE: str(metrics)})
        self.note(f"worker {seat} starts as process {process.pid}")
        return process

    def kill(self, seat: Seat) -> None:
        """Kill a worker; its supervisor starts another one."""
        seat.killed = True
        seat.process.kill()

    async def all_started(self) -> None:
        """Wait until each worker works. Raises `AssertionError` where one does not come to that."""

        async def started() -> bool:
            return all(self.has_started(seat.process) for seat in self.seats)

        await until(started, within=STARTED_SECONDS, what="all workers have started")

    def has_started(self, process: WorkerProcess) -> bool:
        if process.pid not in self._started and process.said("worker started"):
            self._started.add(process.pid)
        return process.pid in self._started

    async def supervise(self) -> None:
        """Start again what was killed, for ever; note it as wrong where something ends by itself."""
        while True:
            await anyio.sleep(_WATCH_SECONDS)
            for seat in self.seats:
                code = seat.process.process.poll()
                if code is None or self.ending:
                    continue
                if not seat.killed or code != -signal.SIGKILL:
                    await self._ended_by_itself(seat, code)
                seat.killed = False
                seat.process = self.start(seat.number, seat.ways, **seat.extra)

    async def _ended_by_itself(self, seat: Seat, code: int) -> None:
        started = self.has_started(seat.process)
        self.note(f"worker {seat.number}, process {seat.process.pid}, ended by itself with {code}")
        if started or code != ExitCode.UNREACHABLE:
            problem = f"ended by itself with {code}; see {seat.process.log.name}"
            self.wrong.append(Violation("no-restart", f"worker {seat.number}", problem))
        # One that finds a server out of reach at its very start says so and ends: that is for its supervisor to repeat.
        await anyio.sleep(_START_AGAIN_SECONDS)

    async def drain(self, within: float) -> None:
        """Tell all workers to stop, and note it as wrong where one does not end well."""

        async def ended() -> bool:
            return all(seat.process.process.poll() is not None for seat in self.seats)

        try:
            # One that has just been started again does not listen yet.
            await self.all_started()
            self.ending = True
            for seat in self.seats:
                _signal(seat.process, signal.SIGTERM)
            await until(ended, within=within, what="all workers have ended")
        except AssertionError as error:
            self.note(str(error))
            self.wrong.append(Violation("no-restart", "cluster", str(error)))
            self.ending = True
        for seat in self.seats:
            if (code := seat.process.process.poll()) not in (0, None):
                problem = f"told to stop, ended with {code}; see {seat.process.log.name}"
                self.wrong.append(Violation("no-restart", f"worker {seat.number}", problem))

    async def all_counted(self) -> None:
        """Wait until each worker has written down what it counted up to now."""
        now = time.time()

        async def counted() -> bool:
            return all(path.stat().st_mtime > now + 0.1 for path in self._metrics())

        await until(counted, within=STARTED_SECONDS, what="all workers have written their metrics")

    def said(self, event: str) -> int:
        """Count the lines of one event in the logs of all processes that there were."""
        return sum(
            line.count(f'"event": "{event}"')
            for process in self.site.workers
            for line in process.log.read_text().splitlines()
        )

    def counted(self, metric: str, by: str) -> Counter[str]:
        """Add up what all processes said last of a counter, by one of its attributes."""
        total: Counter[str] = Counter()
        for path in self._metrics():
            whole = path.read_text().rpartition("\n")[0]
            if whole:
                total.update(_points(json.loads(whole.rpartition("\n")[2]), metric, by))
        return total

    def _metrics(self) -> list[Path]:
        return list(self.site.root.glob("metrics-*.jsonl"))


def _points(data: Any, metric: str, by: str) -> Counter[str]:
    found: Counter[str] = Counter()
    for resource in data["resource_metrics"]:
        for scope in resource["scope_metrics"]:
            for counter in scope["metrics"]:
                if counter["name"] == metric:
                    for point in counter["data"]["data_points"]:
                        found[str(point["attributes"].get(by))] += point["value"]
    return found


def default_terms() -> dict[str, str]:
    """Return the default settings that a site of the acceptance tests has otherwise."""
    names = ("lease_ttl", "lease_guard", "relay_grace")
    return {name.upper(): str(Settings.model_fields[name].default) for name in names}


@asynccontextmanager
async def open_cluster(
    root: Path,
    store: StoreKind,
    *,
    workers: int,
    types: Sequence[str] = (TYPE,),
    supervised: bool = True,
    settings: Mapping[str, str] | None = None,
    extra: Mapping[str, str] | None = None,
    wrong_by: float = 0.0,
) -> AsyncIterator[Cluster]:
    """Start servers and workers, each of which has started; all of it ends with the block.

    `settings` are without their prefix, and those that are not given the defaults; `extra` are other variables of the
    workers' environment. The wall clock of the first is `wrong_by` so many seconds. Without a supervisor, what is
    killed or ends stays away.
    """
    wrong_clock = {WRONG_CLOCK_VARIABLE: str(wrong_by)} if wrong_by else {}
    async with AsyncExitStack() as stack:
        servers = await stack.enter_async_context(open_servers(store))
        urls = {f"{plane.upper()}_URL": servers.url(plane) for plane in PLANES}
        plugins = {"PLUGINS": "tests.campaign.plugin,tests.campaign.pieces"}
        site = await stack.enter_async_context(
            open_site(root, **{**default_terms(), **plugins, **urls, **(settings or {})})
        )
        cluster = Cluster(servers, site, time.monotonic(), types)
        for number in range(workers):
            ways = {plane: Way(await stack.enter_async_context(Proxy(servers.port(plane)))) for plane in PLANES}
            own = {**(extra or {}), **(wrong_clock if number == 0 else {})}
            cluster.seats.append(Seat(number, ways, cluster.start(number, ways, **own), own))
        if not supervised:
            await cluster.all_started()
            yield cluster
            return
        supervisor = asyncio.create_task(cluster.supervise())
        try:
            await cluster.all_started()
            yield cluster
        finally:
            supervisor.cancel()
            with suppress(asyncio.CancelledError):
                await supervisor
