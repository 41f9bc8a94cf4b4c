"""A site for an application's own tests: a client and whole workers in one process, in virtual time.

The workers are those of `jobkit worker`, on planes in memory. What a test may do to them is what happens to workers:
one is killed or drained, a backend goes away and comes back, a lease is lost.
"""

from __future__ import annotations

import asyncio
import functools
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any, ParamSpec

import anyio
import structlog
from anyio.abc import TaskGroup

from jobkit.backends.registry import memory_planes
from jobkit.client import Client
from jobkit.errors import Unavailable
from jobkit.model.clock import Clock, SystemClock
from jobkit.model.plane import Plane
from jobkit.ops.verify import verify
from jobkit.plugin.around import Around
from jobkit.plugin.middleware import AroundAttempt
from jobkit.plugin.processor import Processor
from jobkit.plugin.registry import Registry
from jobkit.plugin.resource import Resource
from jobkit.ports.inspection import DeadLetter, JobRecord, JobState
from jobkit.ports.planes import Planes
from jobkit.settings import Settings
from jobkit.telemetry import Telemetry
from jobkit.testing.outages import GrantedLeases, Outages, through
from jobkit.testing.virtual_time import VirtualClock, VirtualLoop, run_virtual
from jobkit.worker import Worker

P = ParamSpec("P")

# How often a condition is looked at, in seconds of the site's clock.
_LOOK_SECONDS = 0.05
# In virtual time; what takes longer waits for what will not come.
_BOUND_SECONDS = 100_000.0


def in_virtual_time(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Make an `async def` test a plain one, which runs in virtual time: waiting takes none, and every run is the same.

    What would run in a thread runs in its place, and there are no sockets. Processors that are a plain `def` need
    threads of their own, and do not run in it.
    """

    async def bounded(*args: P.args, **kwargs: P.kwargs) -> None:
        with anyio.fail_after(_BOUND_SECONDS):
            await test(*args, **kwargs)

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        run_virtual(bounded(*args, **kwargs), threads_inline=True)

    return run


class SiteWorker:
    """A worker of a site."""

    def __init__(self, worker: Worker, outages: Outages) -> None:
        self._worker = worker
        self._outages = outages
        self.ended = anyio.Event()
        self.killed = False

    async def kill(self) -> None:
        """End it as SIGKILL or a power cut does: nothing that it still wants to say is heard.

        The `finally` blocks of its processors run all the same, since they are in this process.
        """
        self.killed = True
        self._outages.cut_off()
        self._worker.stop()
        await self.ended.wait()

    async def drain(self) -> None:
        """End it as SIGTERM does: it takes nothing more, and what runs has its time to end."""
        self._worker.drain()
        await self.ended.wait()

    async def stop(self) -> None:
        """End it at once; what runs is interrupted and will be run again."""
        self._worker.stop()
        await self.ended.wait()


class Site:
    """A client, the workers that were started, and what they work on. `planes` themselves never fail."""

    def __init__(
        self,
        planes: Planes,
        registry: Registry,
        settings: Settings,
        clock: Clock,
        running: TaskGroup,
        resources: Mapping[Resource, object],
    ) -> None:
        self.planes = planes
        self.clock = clock
        self._registry = registry
        self._settings = settings
        self._running = running
        self._resources = resources
        self._outages = Outages()
        self._granted = GrantedLeases()
        self._telemetry = Telemetry(log=structlog.get_logger("jobkit.testing"))
        self.client = Client(through(planes, self._outages), registry, settings, clock, self._telemetry)
        self.workers: list[SiteWorker] = []

    async def start_worker(
        self, name: str = "", *, processors: Sequence[Processor[Any, Any]] | None = None
    ) -> SiteWorker:
        """Start a worker that serves all types, with the site's processors or these: those of another version, say.

        Returns once it works. As any worker, it does not start while a backend is away.
        """
        owner = name or f"worker-{len(self.workers) + 1}"
        registry = self._registry if processors is None else Registry(processors)
        outages = Outages(self._outages)
        worker = Worker(
            through(self.planes, outages, self._granted),
            registry,
            registry.kept(),
            self._settings,
            clock=self.clock,
            rng=random.Random(owner),  # noqa: S311  (jitter, not secrets)
            telemetry=self._telemetry,
            owner=owner,
            watchdog=False,
            resources=self._resources,
        )
        started = SiteWorker(worker, outages)
        self.workers.append(started)
        self._running.start_soon(self._run, worker, started)
        await worker.started.wait()
        return started

    async def _run(self, worker: Worker, started: SiteWorker) -> None:
        try:
            await worker.run()
        except Unavailable:
            # One that is killed as it starts gets no further.
            if not started.killed:
                raise
        finally:
            started.ended.set()

    @contextmanager
    def away(self, *planes: Plane | str) -> Iterator[None]:
        """Have backends ("broker", "coordinator", "store") be out of reach of the client and all workers meanwhile."""
        with self._outages.of(Plane(plane) for plane in planes):
            yield

    async def lose_lease(self, type: str, key: str) -> bool:
        """Have the lease on a key be lost to whoever holds it, as after a long pause; return whether there was one.

        Its holder finds out when it renews next, and its attempt is cancelled.
        """
        ref = self._granted.last.get(f"{type}/{key}")
        return ref is not None and await self.planes.coordinator.release(ref)

    async def until(self, holds: Callable[[], Awaitable[bool] | bool], *, within: float = 120.0) -> None:
        """Wait until `holds` returns true. Raises `AssertionError` after `within` seconds of the site's clock."""
        deadline = self.clock.now() + within
        while True:
            answer = holds()
            if answer if isinstance(answer, bool) else await answer:
                return
            if self.clock.now() >= deadline:
                raise AssertionError(f"it did not come to be within {within:g} s")
            await self.clock.sleep(_LOOK_SECONDS)

    async def runs(self, id: str, *, within: float = 120.0) -> None:
        """Wait until a job is worked on."""

        async def running() -> bool:
            record = await self.planes.inspection.job(id)
            return record is not None and record.state is JobState.RUNNING

        await self.until(running, within=within)

    async def ended(self, id: str, *, within: float = 120.0) -> JobRecord:
        """Wait until a job has ended, however that was, and return its record."""
        found: list[JobRecord] = []

        async def over() -> bool:
            record = await self.planes.inspection.job(id)
            if record is not None and record.state.ended:
                found.append(record)
            return bool(found)

        await self.until(over, within=within)
        return found[0]

    async def at_rest(self, *, within: float = 120.0) -> None:
        """Wait until every job has ended, then verify all that was committed, as `jobkit verify` does.

        Raises `AssertionError` where something is left after that time, or something committed breaks an invariant.
        """

        async def nothing_left() -> bool:
            counts = await self.planes.inspection.counts()
            left = sum(number for state, number in counts.jobs.items() if not state.ended)
            return left == 0 and counts.shelved == 0 and await self._queued() == 0

        await self.until(nothing_left, within=within)
        if findings := list((await verify(self.planes, self._registry.projections())).findings):
            raise AssertionError("\n".join(map(str, findings)))

    async def _queued(self) -> int:
        return sum(depth.ready for depth in await self.planes.broker.depths())

    async def dead_letters(self) -> Sequence[DeadLetter]:
        """Return the dead letters, oldest first."""
        return await self.planes.inspection.dead()


@asynccontextmanager
async def open_site(
    *processors: Processor[Any, Any],
    resources: Mapping[Resource, object] | None = None,
    middleware: Sequence[AroundAttempt] = (),
    **settings: Any,
) -> AsyncIterator[Site]:
    """Open a site for these processors, in virtual time where it runs; its workers are stopped at the end.

    `resources` are given to processors in place of what those would open, and `middleware` runs around attempts.
    `settings` are those of jobkit by their names, such as `lease_ttl=5`, and otherwise their defaults, with 2
    partitions for each type; nothing of them comes from the environment. Raises what ended a worker that was to go on.
    """
    clock: Clock = VirtualClock() if isinstance(asyncio.get_running_loop(), VirtualLoop) else SystemClock()
    chosen = Settings.model_validate({**Settings.model_construct().model_dump(), "partitions": 2, **settings})
    registry = Registry(
        processors, max_payload_bytes=chosen.max_payload_bytes, around=Around(attempts=tuple(middleware))
    )
    async with memory_planes(clock) as planes, anyio.create_task_group() as running:
        site = Site(planes, registry, chosen, clock, running, resources or {})
        try:
            yield site
        finally:
            with anyio.CancelScope(shield=True):
                for worker in site.workers:
                    await worker.stop()
