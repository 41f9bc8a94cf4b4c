"""What the gauges show of a worker and of the store: measured now and then, while somebody reads them.

The store is asked by whoever leads the first partition of a type, so by few workers, and not at all while nobody
collects metrics.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from jobkit.client.layouts import Layouts
from jobkit.errors import Unavailable
from jobkit.leases import Keeper
from jobkit.model.clock import Clock
from jobkit.ports.planes import Planes
from jobkit.runner.led_partition import LedPartition
from jobkit.runner.pauses import Pauses
from jobkit.telemetry import Telemetry
from jobkit.telemetry import metrics as m
from jobkit.worker.leadership import leads_first
from jobkit.worker.pause_gauges import pause_readings

# This worker is looked at so often, the store every fifth time.
_EVERY_SECONDS = 2.0
_STORE_EVERY = 5
# For so long after the metrics were read it is worth looking: exporters that push read them once a minute.
_WORTH_SECONDS = 150.0

_Readings = dict[tuple[m.Metric, tuple[str, ...]], float]


class Gauges:
    """Keeps the gauges of one worker.

    `led` returns the partitions that it leads, `latency` its distance in seconds, `waiting` how many of its jobs wait
    for a limit, by the limit's name.
    """

    def __init__(
        self,
        planes: Planes,
        keeper: Keeper,
        led: Callable[[], Sequence[LedPartition]],
        types: Sequence[str],
        layouts: Layouts,
        latency: Callable[[], float],
        pauses: Pauses,
        waiting: Callable[[], Mapping[str, int]],
        *,
        grace: float,
        clock: Clock,
        telemetry: Telemetry,
    ) -> None:
        self._planes = planes
        self._keeper = keeper
        self._led = led
        self._types = types
        self._layouts = layouts
        self._latency = latency
        self._pauses = pauses
        self._waiting = waiting
        self._grace = grace
        self._clock = clock
        self._telemetry = telemetry
        self._store: _Readings = {}

    async def run(self) -> None:
        """Look while it is worth it, until cancelled; then there is nothing to read any more."""
        gauges = self._telemetry.gauges
        seen = gauges.reads
        worth_until = 0.0
        looks = 0
        try:
            gauges.show(self, self._here())
            while True:
                await self._clock.sleep(_EVERY_SECONDS)
                if gauges.reads != seen:
                    seen = gauges.reads
                    worth_until = self._clock.now() + _WORTH_SECONDS
                if self._clock.now() < worth_until:
                    if looks % _STORE_EVERY == 0:
                        await self._look_at_store()
                    looks += 1
                    gauges.show(self, {**self._here(), **self._store})
        finally:
            gauges.hide(self)

    def _here(self) -> _Readings:
        """Return what this worker knows of itself."""
        found: _Readings = {(m.COORDINATOR_SILENCE, ()): max(0.0, self._clock.now() - self._keeper.last_answer)}
        found |= pause_readings(self._pauses.known, self._types, self._clock.wall())
        found[m.LATENCY, ()] = self._latency()
        found |= {(m.LIMITS_WAITING, (name,)): number for name, number in self._waiting().items()}
        held = list(self._keeper.resources)
        leading = sum(resource.startswith("leader/") for resource in held)
        found[m.LEASES_HELD, ("leader",)] = leading
        found[m.LEASES_HELD, ("job",)] = len(held) - leading
        for type in self._types:
            # Those handed over still run jobs.
            there = [led for led in self._led() if led.partition.type == type]
            ours = [led for led in there if not led.released.is_set()]
            found[m.PARTITIONS, (type,)] = self._layouts.of(type).partitions
            found[m.PARTITIONS_LED, (type,)] = len(ours)
            found[m.PARTITIONS_PAUSED, (type,)] = sum(led.paused for led in ours)
            found[m.CONSUMERS, (type,)] = sum(led.consuming for led in ours)
            found[m.RUNNING, (type,)] = sum(led.running for led in there)
            found[m.WAITING_AGE, (type,)] = max((led.longest_wait() for led in ours), default=0.0)
        return found

    async def _look_at_store(self) -> None:
        if not leads_first(self._led()):
            self._store = {}
            return
        try:
            counts = await self._planes.inspection.counts()
            left = await self._planes.store.outbox(older_than=self._grace, limit=1)
        except Unavailable as error:
            # What was true before may not be so now: better none than a wrong number.
            self._store = {}
            self._telemetry.connection_lost(error.plane, "reading counts for metrics", error)
            return
        submitted = left[0].envelope.submitted_at if left else 0.0
        self._store = {
            (m.STORE_OUTBOX, ()): counts.outbox,
            (m.STORE_INFLIGHT, ()): counts.shelved,
            (m.STORE_PARKED, ()): counts.parked,
            (m.STORE_DEAD, ()): counts.dead,
            (m.STORE_KEYS, ()): counts.keys,
            (m.OUTBOX_AGE, ()): max(0.0, self._clock.wall() - submitted) if submitted else 0.0,
            **{(m.STORE_JOBS, (state.value,)): number for state, number in counts.jobs.items()},
        }
