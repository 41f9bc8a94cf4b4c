"""A site in virtual time: memory planes, a client and whole workers, with one place where the network misbehaves.

It has no files and no threads; processors that write blobs are tested elsewhere.
"""

from __future__ import annotations

import functools
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, ParamSpec, cast

import anyio
from anyio.abc import TaskGroup

from jobkit.backends.sqlite.broker import SqliteBroker
from jobkit.backends.sqlite.connection import MEMORY
from jobkit.backends.sqlite.coordinator import SqliteCoordinator
from jobkit.backends.sqlite.engine import open_engine
from jobkit.backends.sqlite.store import SqliteStore
from jobkit.client import Client
from jobkit.ops.verify import verify
from jobkit.plugin.processor import Processor
from jobkit.plugin.registry import Registry
from jobkit.ports.blobs import Blobs, StoredObject
from jobkit.ports.inspection import JobRecord
from jobkit.ports.planes import Planes
from jobkit.settings import Settings
from jobkit.testing.virtual_time import VirtualClock, run_virtual
from jobkit.worker import Worker
from tests.faults.doubles import Faults, faulty_planes
from tests.witness import Witness

P = ParamSpec("P")

AnyProcessor = Processor[Any, Any]


# No test takes as long in virtual seconds; one that does waits for what will not come.
_BOUND_SECONDS = 1_000.0


def in_virtual_time(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Make an `async def` test run in virtual time."""

    async def bounded(*args: P.args, **kwargs: P.kwargs) -> None:
        with anyio.fail_after(_BOUND_SECONDS):
            await test(*args, **kwargs)

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        run_virtual(bounded(*args, **kwargs))

    return run


@dataclass
class RunningWorker:
    """A worker and what is needed to end it, gently or not."""

    worker: Worker
    faults: Faults
    ended: anyio.Event = field(default_factory=anyio.Event)
    error: BaseException | None = None

    async def drain(self) -> None:
        """Drain it and wait for its end."""
        self.worker.drain()
        await self.ended.wait()

    async def crash(self) -> None:
        """End it as a power cut does: nothing that it still wants to say is heard."""
        self.faults.cut_off()
        self.worker.stop()
        await self.ended.wait()


class Site:
    """One set of planes and all that works on them. `planes` themselves never misbehave."""

    def __init__(
        self, planes: Planes, clock: VirtualClock, settings: Settings, registry: Registry, running: TaskGroup
    ) -> None:
        self.planes = planes
        self.clock = clock
        self.settings = settings
        self.registry = registry
        self.witness = Witness()
        self.faults = Faults(clock)
        self.client = Client(planes, registry, settings, clock, self.witness.telemetry)
        self.workers: list[RunningWorker] = []
        self.expected_defects: list[dict[str, Any]] = []
        self._running = running

    def start(
        self,
        owner: str = "a",
        *,
        types: Sequence[str] | None = None,
        faults: Faults | None = None,
        registry: Registry | None = None,
    ) -> RunningWorker:
        """Start a worker; it sees the planes through `faults`, and has the code in `registry` (default: the site's)."""
        seen = faults or self.faults
        loaded = registry or self.registry
        running = RunningWorker(
            Worker(
                faulty_planes(self.planes, seen),
                loaded,
                types or tuple(dict.fromkeys(one.kept_as for one in loaded.processors.values())),
                self.settings,
                clock=self.clock,
                rng=random.Random(owner),
                telemetry=self.witness.telemetry,
                owner=owner,
                watchdog=False,
            ),
            seen,
        )
        self.workers.append(running)
        self._running.start_soon(self._run, running)
        return running

    async def _run(self, running: RunningWorker) -> None:
        try:
            await running.worker.run()
        except Exception as error:  # noqa: BLE001  (kept for the test, which reads it)
            running.error = error
        finally:
            running.ended.set()

    async def ended(self, id: str, within: float = 120.0) -> JobRecord:
        """Wait for a job to end or be parked, and return its record."""
        return [record async for record in self.client.watch(id, within)][-1]

    async def until(self, holds: Callable[[], Awaitable[bool] | bool], within: float = 120.0) -> float:
        """Wait until `holds`; return how many virtual seconds that took. Fails after `within`."""
        started = self.clock.now()
        while True:
            answer = holds()
            if answer if isinstance(answer, bool) else await answer:
                return self.clock.now() - started
            waited = self.clock.now() - started
            assert waited < within, f"it did not come to be within {within} s"
            # What took long was not to be seen to the millisecond, and each look costs.
            await self.clock.sleep(max(0.02, waited / 50))

    async def log(self, type: str, key: str) -> list[str]:
        """The data of a key's log entries, as JSON text in order."""
        return [entry.data.decode() for entry in await self.planes.inspection.log(type, key)]

    async def reasons(self) -> list[str]:
        """The reasons of the dead letters, oldest first."""
        return [letter.reason for letter in await self.planes.inspection.dead()]

    async def queued(self) -> int:
        """How many messages the broker still holds."""
        return sum(depth.ready for depth in await self.planes.broker.depths())

    async def shelved(self) -> int:
        """How many jobs are in the in-flight table."""
        return (await self.planes.inspection.counts()).shelved

    async def free(self) -> bool:
        """Return whether nobody holds a lease on a job."""
        leases = await self.planes.coordinator.leases()
        return all(lease.resource.startswith("leader/") for lease in leases)

    async def leaders(self) -> dict[str, str]:
        """Who leads each partition that is led."""
        return {lease.resource: lease.owner for lease in await self.planes.coordinator.leases("leader/")}

    async def at_rest(self, within: float = 120.0) -> None:
        """Wait until no message and no in-flight job is left, then check all that was committed."""

        async def nothing_left() -> bool:
            return await self.queued() == 0 and await self.shelved() == 0

        await self.until(nothing_left, within)
        assert list((await verify(self.planes, self.registry.projections())).findings) == []


class _NoBlobs:
    """Blobs are files, and files need threads."""

    async def objects(self) -> AsyncIterator[StoredObject]:
        return
        yield

    async def aclose(self) -> None: ...


@asynccontextmanager
async def memory_in_virtual_time(clock: VirtualClock) -> AsyncIterator[Planes]:
    """Open memory planes without blobs."""
    async with open_engine(MEMORY, clock) as engine:
        store, broker = SqliteStore(engine), SqliteBroker(engine)
        try:
            yield Planes(broker, SqliteCoordinator(engine), store, store, cast(Blobs, _NoBlobs()))
        finally:
            await broker.aclose()


def settings_of(**values: Any) -> Settings:
    """Return settings for a test: the defaults, but few partitions, and nothing from the environment."""
    return Settings.model_validate({**Settings.model_construct().model_dump(), "partitions": 2, **values})


@asynccontextmanager
async def open_site(*processors: AnyProcessor, **settings: Any) -> AsyncIterator[Site]:
    """Open a site whose workers are stopped when the block ends."""
    clock = VirtualClock()
    async with memory_in_virtual_time(clock) as planes, anyio.create_task_group() as running:
        site = Site(planes, clock, settings_of(**settings), Registry(processors), running)
        try:
            yield site
        finally:
            for worker in site.workers:
                worker.worker.stop()
            with anyio.CancelScope(shield=True):
                for worker in site.workers:
                    await worker.ended.wait()
                await close_abandoned([site.faults, *(worker.faults for worker in site.workers)])
    for worker in site.workers:
        if worker.error is not None:
            raise worker.error
    assert site.witness.lines("unexpected error") == site.expected_defects


async def close_abandoned(all_faults: Iterable[Faults]) -> None:
    """Close the consumers that crashed workers left open."""
    for faults in all_faults:
        for consumer in faults.abandoned:
            await consumer.__aexit__(None, None, None)
        faults.abandoned.clear()
