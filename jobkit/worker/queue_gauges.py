"""How much there is to do, by job type, as the planes tell it: for whoever decides how many workers there should be.

And what only a live worker would tell: what is paused, and schedules that nobody fires.

It needs no worker that lives. What a queue holds is counted by the broker, who works by the coordinator, and what is
on its way to a queue by the store; none of it costs more where more waits.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

from jobkit.errors import Unavailable
from jobkit.model.clock import Clock
from jobkit.ports.adrift import oldest_waiting
from jobkit.ports.broker import QueueDepth
from jobkit.ports.planes import Planes
from jobkit.telemetry import Telemetry
from jobkit.telemetry import metrics as m
from jobkit.worker.pause_gauges import pause_readings

EVERY_SECONDS = 5.0
# A job that was accepted this long ago and is not in its queue will not come there by itself.
_UNPUBLISHED_SECONDS = 5.0
# So many of those, of jobs that are due, and of keys in flight in one partition are counted; more is as much to do.
_COUNTED = 1_000

_Readings = dict[tuple[m.Metric, tuple[str, ...]], float]


class QueueGauges:
    """Keeps the gauges of `types`, or of all types that have queues."""

    def __init__(self, planes: Planes, types: Sequence[str], *, clock: Clock, telemetry: Telemetry) -> None:
        self._planes = planes
        self._types = frozenset(types)
        self._clock = clock
        self._telemetry = telemetry
        self.current = False

    async def run(self) -> None:
        """Look again and again, until cancelled. What cannot be measured is not shown: no number is older than that."""
        gauges = self._telemetry.gauges
        try:
            while True:
                try:
                    gauges.show(self, await self._look())
                    self.current = True
                except Unavailable as error:
                    gauges.hide(self)
                    self.current = False
                    self._telemetry.connection_lost(error.plane, "measuring the queues", error)
                await self._clock.sleep(EVERY_SECONDS)
        finally:
            gauges.hide(self)

    async def _look(self) -> _Readings:
        depths = await self._planes.broker.depths()
        types = self._types or {depth.partition.type for depth in depths}
        depth = Counter({one.partition.type: 0 for one in depths})
        for one in depths:
            depth[one.partition.type] += one.ready
        since: dict[str, float] = {
            type: at for type in types if depth[type] and (at := await oldest_waiting(self._planes.store, type))
        }
        for type, at in [*await self._unpublished(), *await self._overdue()]:
            depth[type] += 1
            since[type] = min(at, since.get(type, at))
        depth.update(await self._in_flight(depths))
        held = Counter(lease.resource.partition("/")[0] for lease in await self._planes.coordinator.leases())
        in_line = await self._planes.inspection.waiting_for_places(types)
        now = self._clock.wall()
        found: _Readings = {}
        for one in depths:
            for priority, ready in one.bands.items():
                if one.partition.type in types:
                    name = (m.QUEUE_PRIORITIES, (one.partition.type, priority.value))
                    found[name] = found.get(name, 0) + ready
        for type in types:
            found[m.QUEUE_DEPTH, (type,)] = depth[type]
            found[m.QUEUE_RUNNING, (type,)] = held[type]
            found[m.QUEUE_WAITING_FOR_PLACES, (type,)] = in_line.get(type, 0)
            found[m.QUEUE_AGE, (type,)] = max(0.0, now - since[type]) if type in since else 0.0
        found[m.SCHEDULES_OVERDUE, ()] = await self._schedules_overdue()
        return found | await self._paused(types)

    async def _unpublished(self) -> list[tuple[str, float]]:
        entries = await self._planes.store.outbox(older_than=_UNPUBLISHED_SECONDS, limit=_COUNTED)
        return [(entry.envelope.type, entry.envelope.submitted_at) for entry in entries]

    async def _overdue(self) -> list[tuple[str, float]]:
        jobs = await self._planes.inspection.overdue(limit=_COUNTED)
        return [(job.type, job.due_at) for job in jobs if job.due_at is not None]

    async def _schedules_overdue(self) -> float:
        """Return for how many seconds the first schedule that is due has been so."""
        now, due = await self._planes.inspection.due_schedules(limit=1)
        return max((now - one.due for one in due if one.due is not None), default=0.0)

    async def _paused(self, types: Collection[str]) -> _Readings:
        pauses = await self._planes.store.pauses()
        # What has never been submitted has no queue, and may be paused all the same.
        others = set() if self._types else {pause.scope.type for pause in pauses}
        return pause_readings(pauses, {*types, *others}, self._clock.wall())

    async def _in_flight(self, depths: Sequence[QueueDepth]) -> Counter[str]:
        """Count the keys that have jobs in flight, of which no more than one each can run."""
        found: Counter[str] = Counter()
        if (await self._planes.inspection.counts()).shelved:
            for depth in depths:
                if not self._types or depth.partition.type in self._types:
                    keys = await self._planes.store.shelved_keys(depth.partition, limit=_COUNTED)
                    found[depth.partition.type] += len(keys)
        return found
