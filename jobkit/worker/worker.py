"""The worker: a process that leads partitions and runs their jobs, until it is told to stop."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Mapping, Sequence
from functools import partial

import anyio

from jobkit.client.layouts import Layouts
from jobkit.client.outbox_sweeper import Sweeper
from jobkit.client.relay import Relay
from jobkit.leases import Keeper, Lease, LeaseTerms
from jobkit.model.clock import Clock, SystemClock
from jobkit.model.ids import new_owner
from jobkit.model.layout import Layout
from jobkit.model.partition import Partition
from jobkit.plugin.registry import Registry
from jobkit.plugin.resource import Resource
from jobkit.ports.planes import Planes
from jobkit.runner.cancellations import Cancellations
from jobkit.runner.lane import LaneTools
from jobkit.runner.led_partition import LedPartition
from jobkit.runner.pauses import Pauses
from jobkit.runner.resources import OpenResources, open_resources
from jobkit.runner.unknown_jobs import HeldJobs
from jobkit.settings import Settings
from jobkit.telemetry import Telemetry
from jobkit.worker.backend_refusals import Refusals
from jobkit.worker.coordinator_watch import CoordinatorWatch
from jobkit.worker.drain import end_after_drain, hand_over_grace, leave
from jobkit.worker.gauges import Gauges
from jobkit.worker.health import Page, serving_health
from jobkit.worker.lane_assembly import held_jobs, lane_tools, partition_terms
from jobkit.worker.latency import LatencyMonitor
from jobkit.worker.layout_watch import follow
from jobkit.worker.leadership import Leaderships, first_led, leads_first
from jobkit.worker.limit_report import report_waiting_forever
from jobkit.worker.maintenance.declared_schedules import Declarations
from jobkit.worker.maintenance.due_jobs import release_forever
from jobkit.worker.maintenance.file_retention import drop_files_forever
from jobkit.worker.maintenance.log_retention import trim_logs_forever
from jobkit.worker.maintenance.repartitioning import Repartitioner
from jobkit.worker.maintenance.republishing import Republisher
from jobkit.worker.maintenance.retention import prune_forever
from jobkit.worker.maintenance.schedule_ticks import Ticker
from jobkit.worker.publish_types import publish_types
from jobkit.worker.queue_rebuild_check import Coverage
from jobkit.worker.readiness import liveness, readiness
from jobkit.worker.resource_health import ResourceHealth
from jobkit.worker.startup import prepare
from jobkit.worker.unpublishable import Rejections
from jobkit.worker.watchdog import Watchdog


class Worker:
    """One worker process.

    `types` are the job types it serves. `watchdog` watches the event loop from a thread, which simulations in
    virtual time must not have. `page` is what `/metrics` shows beside the health endpoints. `resources` are given to
    processors in place of what those would open.
    """

    def __init__(
        self,
        planes: Planes,
        registry: Registry,
        types: Sequence[str],
        settings: Settings,
        *,
        clock: Clock | None = None,
        rng: random.Random | None = None,
        telemetry: Telemetry | None = None,
        owner: str | None = None,
        watchdog: bool = True,
        page: Page | None = None,
        resources: Mapping[Resource, object] | None = None,
    ) -> None:
        self.owner = owner or new_owner()
        self.draining = False
        # Set once it works; later than that, backends that are away are waited for.
        self.started = anyio.Event()
        # Where the health endpoints are, once they are.
        self.health_port: int | None = None
        self._registry = registry
        self._types = tuple(types)
        self._settings = settings
        self._given = resources or {}
        self._clock = clock or SystemClock()
        self._rng = rng or random.Random()  # noqa: S311  (jitter, not secrets)
        self._telemetry = telemetry or Telemetry()
        # At the start a refusal is a wrong setting, and the relay tells those of one type from those of all.
        self._broker = planes.broker
        self._refusals = Refusals(self._clock, self._telemetry)
        self._planes = planes = self._refusals.around(planes)
        self._run_scope = anyio.CancelScope()
        self._stop_requested = anyio.Event()
        self._keeper = Keeper(
            planes.coordinator,
            owner=self.owner,
            terms=LeaseTerms.of(settings),
            clock=self._clock,
            rng=self._rng,
            telemetry=self._telemetry,
        )
        self._layouts = Layouts(planes.store, settings.partitions, self._clock)
        self._relay = Relay(
            planes.store,
            self._broker,
            layouts=self._layouts,
            clock=self._clock,
            telemetry=self._telemetry,
            rng=self._rng,
        )
        self._sweeper = Sweeper(
            self._relay,
            planes.store,
            self._broker,
            grace=settings.relay_grace,
            sweeps=lambda partition: self._leaderships.sweeps(partition),
            bury=Rejections(planes.store, self._keeper, self._telemetry).bury,
            covered=Coverage(planes.store, planes.inspection, self._layouts).complete,
            clock=self._clock,
            telemetry=self._telemetry,
        )
        self._coordination = CoordinatorWatch(
            planes,
            ttl=settings.lease_ttl,
            every=self._keeper.terms.renew_every,
            clock=self._clock,
            telemetry=self._telemetry,
        )
        self._leaderships = Leaderships(
            planes.coordinator,
            self._keeper,
            self._types,
            self._layouts,
            self._lead,
            self.drain,
            clock=self._clock,
            rng=self._rng,
            telemetry=self._telemetry,
        )
        self._pauses = Pauses(planes.store, self._telemetry)
        self._reach = LatencyMonitor(
            self._pauses.look,
            planes.coordinator,
            self.owner,
            clock=self._clock,
            on_change=self._moved,
        )
        self._republisher = Republisher(
            planes,
            self.owner,
            self._layouts,
            every=settings.republish_seconds,
            clock=self._clock,
            rng=self._rng,
            telemetry=self._telemetry,
        )
        self._repartitioner = Repartitioner(
            planes, self._layouts, self._republisher.watch, clock=self._clock, telemetry=self._telemetry
        )
        self._declarations = Declarations(
            planes.inspection, registry, self._types, clock=self._clock, telemetry=self._telemetry
        )
        self._ticker = Ticker(
            planes.inspection,
            self._relay.publish,
            leads=lambda: leads_first(self._leaderships.led),
            clock=self._clock,
            telemetry=self._telemetry,
        )
        self._resource_health = ResourceHealth(self._clock, self._telemetry)
        self._cancellations = Cancellations(planes.store, self._clock, self._telemetry)
        self._watchdog = Watchdog(self._clock, settings.lease_ttl / 3, self._telemetry) if watchdog else None
        self._page = page
        self._observer = Gauges(
            planes,
            self._keeper,
            lambda: self._leaderships.led,
            self._types,
            self._layouts,
            lambda: self._leaderships.latency,
            self._pauses,
            self._waiting_for_limits,
            grace=settings.relay_grace,
            clock=self._clock,
            telemetry=self._telemetry,
        )
        self._telemetry.serves(self._types)

    async def run(self) -> None:
        """Work until drained or stopped.

        Raises `ConfigurationError` where a setting, a plugin or the number of partitions is wrong, `ResourceFailed`
        where a resource does not open, and `Unavailable` where a backend is out of reach at the start; later it waits
        for backends to come back.
        """
        self._plugin_settings = await prepare(
            self._broker,
            self._registry,
            self._types,
            self._settings,
            self._layouts,
            given=self._given,
            telemetry=self._telemetry,
        )
        await self._coordination.require()
        await publish_types(self._planes.inspection, self._registry, self._types, self._telemetry)
        await self._declarations.declare()
        # Before anything is begun; later it is looked at again and again.
        await self._pauses.look()
        async with contextlib.AsyncExitStack() as around:
            if self._watchdog is not None:
                around.enter_context(self._watchdog.watching())
            if self._settings.health_port is not None:
                health = serving_health(
                    self._settings.health_host,
                    self._settings.health_port,
                    self.live,
                    self.ready,
                    self._telemetry,
                    self._page,
                )
                self.health_port = await around.enter_async_context(health)
            self._telemetry.log.info("worker started", owner=self.owner, types=list(self._types))
            with self._run_scope:
                wanted = self._registry.resources(self._types, self._given)
                async with open_resources(wanted, self._plugin_settings, self._telemetry, self._given) as opened:
                    self._tools = self._lane_tools(opened)
                    self.started.set()
                    await self._work(opened)
            self._telemetry.log.info("worker stopped", owner=self.owner)

    def drain(self) -> None:
        """Take no more jobs, hand partitions over, let running jobs finish within `drain_seconds`, then end."""
        if not self.draining:
            self.draining = True
            self._telemetry.drain_started(self._settings.drain_seconds)
            self._leaderships.end()
            self._stop_requested.set()

    def stop(self) -> None:
        """End at once: running jobs are cancelled and will be run again."""
        self.drain()
        self._run_scope.cancel()

    def live(self) -> dict[str, bool]:
        """Return the liveness checks by name: one that fails means that the process should be restarted."""
        return liveness(self._watchdog)

    def ready(self) -> dict[str, bool]:
        """Return the readiness checks by name: one that fails means that the process does not work at full strength."""
        return readiness(
            draining=self.draining,
            keeper=self._keeper,
            coordination=self._coordination,
            refusals=self._refusals,
            led=self._leaderships.led,
            resources=self._resource_health,
        )

    def _lane_tools(self, opened: OpenResources) -> LaneTools:
        return lane_tools(
            self._planes,
            self._registry,
            self._types,
            self._settings,
            self._plugin_settings,
            opened,
            keeper=self._keeper,
            sweeper=self._sweeper,
            cancellations=self._cancellations,
            clock=self._clock,
            rng=self._rng,
            telemetry=self._telemetry,
        )

    def _waiting_for_limits(self) -> dict[str, int]:
        declared = [limit.name for type in self._types for one in self._registry.members(type) for limit in one.limits]
        return {**dict.fromkeys(declared, 0), **self._tools.pipeline.limit_lines.numbers}

    def _lead(self, partition: Partition, lease: Lease) -> LedPartition:
        return LedPartition(
            partition,
            lease,
            keeper=self._keeper,
            planes=self._planes,
            registry=self._registry,
            tools=self._tools,
            terms=partition_terms(self._settings, self._keeper, lambda: hand_over_grace(self._reach.latency)),
            layout=self._layouts.of(partition.type),
            pauses=self._pauses,
            upkeep=self._repartitioner.watch,
        )

    async def _work(self, opened: OpenResources) -> None:
        """Run everything that makes a worker; the upkeep outlives the last job, for that still needs its lease."""
        async with anyio.create_task_group() as upkeep:
            upkeep.start_soon(self._keeper.run)
            upkeep.start_soon(self._sweeper.run)
            upkeep.start_soon(self._coordination.run)
            upkeep.start_soon(self._follow_layouts)
            upkeep.start_soon(self._prune)
            upkeep.start_soon(self._drop_what_is_not_kept)
            upkeep.start_soon(self._cancellations.run)
            upkeep.start_soon(self._release_due)
            upkeep.start_soon(self._ticker.run)
            upkeep.start_soon(self._declarations.run)
            upkeep.start_soon(self._report_waiting)
            upkeep.start_soon(self._observer.run)
            upkeep.start_soon(self._reach.run)
            upkeep.start_soon(self._resource_health.run, opened)
            upkeep.start_soon(self._tools.pipeline.split_brain.run)
            upkeep.start_soon(self._tools.pipeline.interruptions.run)
            upkeep.start_soon(self._tools.pipeline.hooks.run)
            if self._watchdog is not None:
                upkeep.start_soon(self._watchdog.beat_forever)
            try:
                async with anyio.create_task_group() as partitions:
                    partitions.start_soon(self._leaderships.run, partitions)
                    held = held_jobs(
                        self._planes,
                        self._registry,
                        self._types,
                        self._settings,
                        self._tools,
                        keeper=self._keeper,
                        pauses=self._pauses,
                        layouts=self._layouts,
                    )
                    for one in held:
                        partitions.start_soon(one.run)
                    await self._stop_requested.wait()
                    for one in held:
                        one.end()
                    partitions.start_soon(self._end_after_drain, held, partitions.cancel_scope)
                    # Before anything is released, so that the others count without this worker and take it at once.
                    await self._leave()
                    self._leaderships.hand_over()
            finally:
                await self._leave()
                await self._tools.pipeline.interruptions.finish()
                await self._tools.pipeline.hooks.finish()
            upkeep.cancel_scope.cancel()

    async def _follow_layouts(self) -> None:
        await follow(self._layouts, self._relaid, clock=self._clock, telemetry=self._telemetry)

    async def _relaid(self, type: str, layout: Layout) -> None:
        """Go by another layout of a type."""
        if type in self._types:
            await self._planes.broker.declare(type, layout.led)
            self._leaderships.stir()

    async def _moved(self) -> None:
        self._telemetry.log.info("distance to store and coordinator", latency=round(self._reach.latency, 3))
        await self._leaderships.moved(self._reach.latency)

    async def _end_after_drain(self, held: Sequence[HeldJobs], running: anyio.CancelScope) -> None:
        await end_after_drain(
            self._leaderships,
            held,
            running,
            self._settings.drain_seconds,
            clock=self._clock,
            telemetry=self._telemetry,
        )

    async def _leave(self) -> None:
        await leave(self._planes.coordinator, self.owner, self._telemetry)

    async def _prune(self) -> None:
        await prune_forever(
            self._planes.inspection,
            older_than=self._settings.retention_seconds,
            keep_at_most=self._settings.retention_limit,
            clock=self._clock,
            rng=self._rng,
            telemetry=self._telemetry,
        )

    async def _drop_what_is_not_kept(self) -> None:
        async with anyio.create_task_group() as tasks:
            for drop_forever in (trim_logs_forever, drop_files_forever):
                tasks.start_soon(
                    partial(
                        drop_forever,
                        self._planes,
                        self._registry,
                        self._types,
                        leads=lambda: first_led(self._leaderships.led),
                        clock=self._clock,
                        rng=self._rng,
                        telemetry=self._telemetry,
                    )
                )

    async def _release_due(self) -> None:
        await release_forever(
            self._planes.store,
            self._relay.publish,
            leads=lambda: leads_first(self._leaderships.led),
            clock=self._clock,
            telemetry=self._telemetry,
        )

    async def _report_waiting(self) -> None:
        await report_waiting_forever(
            self._planes.coordinator,
            self._tools.pipeline.limit_lines,
            self.owner,
            every=self._keeper.terms.renew_every,
            clock=self._clock,
            telemetry=self._telemetry,
        )
