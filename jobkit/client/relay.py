"""The relay: carries accepted jobs from the store's outbox to the broker.

It promises that each is published at least once and that a key's jobs are published in their order. It does not
promise once: two relays may publish the same entry, and the store drops the second delivery.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from contextlib import nullcontext

import anyio

from jobkit.errors import ConfigurationError, Unavailable
from jobkit.model.clock import Clock
from jobkit.model.partition import Partition, partition_of
from jobkit.model.plane import Plane
from jobkit.ports.broker import Broker
from jobkit.ports.store import OutboxEntry, Store
from jobkit.telemetry import Telemetry
from jobkit.telemetry.spans import batch_span

# One publish call carries at most this many, so that a long outbox does not become one huge request.
_BATCH = 500


class Relay:
    """Publishes outbox entries: those it is handed at once, those that others left behind after a while."""

    def __init__(
        self, store: Store, broker: Broker, *, partitions: int, grace: float, clock: Clock, telemetry: Telemetry
    ) -> None:
        self._store = store
        self._broker = broker
        self._partitions = partitions
        self._grace = grace
        self._clock = clock
        self._telemetry = telemetry
        self._declared: set[str] = set()
        self._handed: deque[OutboxEntry] = deque(maxlen=10 * _BATCH)
        self._wake = anyio.Event()

    async def publish(self, entries: Sequence[OutboxEntry]) -> None:
        """Publish `entries` in order and delete them from the outbox.

        Raises `Unavailable` or `ConfigurationError`; then those not confirmed stay in the outbox.
        """
        refused: dict[str, ConfigurationError] = {}
        for start in range(0, len(entries), _BATCH):
            batch = entries[start : start + _BATCH]
            for type in dict.fromkeys(entry.envelope.type for entry in batch):
                await self._declare(type, refused)
            batch = [entry for entry in batch if entry.envelope.type not in refused]
            if batch:
                await self._send(batch)
                await self._store.published([entry.position for entry in batch])
        for error in refused.values():
            raise error

    async def _send(self, batch: Sequence[OutboxEntry]) -> None:
        started = self._clock.now()
        types = Counter(entry.envelope.type for entry in batch)
        span = (
            batch_span(self._telemetry.tracer, "publish", [entry.envelope for entry in batch])
            if self._telemetry.traced
            else nullcontext()
        )
        try:
            with span:
                await self._broker.publish([(self._route(entry), entry.envelope) for entry in batch])
        except (Unavailable, ConfigurationError) as error:
            self._telemetry.published(types, self._clock.now() - started, error)
            raise
        self._telemetry.published(types, self._clock.now() - started)

    async def _declare(self, type: str, refused: dict[str, ConfigurationError]) -> None:
        """Declare a type's queues once; one that is refused must not keep the others from being published."""
        if type in self._declared or type in refused:
            return
        try:
            await self._broker.declare(type, self._partitions)
        except ConfigurationError as error:
            refused[type] = error
        else:
            self._declared.add(type)

    def _route(self, entry: OutboxEntry) -> Partition:
        # The store takes no job without a key.
        return Partition(entry.envelope.type, partition_of(entry.envelope.key or "", self._partitions))

    def hand(self, entries: Sequence[OutboxEntry]) -> None:
        """Take entries that a commit released, to be published soon; beyond a bound they wait for the next sweep."""
        if entries:
            self._handed.extend(entries)
            self._wake.set()

    async def run(self) -> None:
        """Publish what is handed over and what is left behind, until cancelled."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._publish_handed)
            tasks.start_soon(self._publish_left)

    async def _publish_handed(self) -> None:
        while True:
            await self._wake.wait()
            self._wake = anyio.Event()
            while self._handed:
                batch = [self._handed.popleft() for _ in range(min(len(self._handed), _BATCH))]
                try:
                    await self._publish_accepted(batch)
                except Unavailable as error:
                    # It stays in the outbox for the next sweep.
                    self._telemetry.connection_lost(error.plane, "publishing the outbox", error)

    async def _publish_left(self) -> None:
        while True:
            await self._clock.sleep(self._grace)
            seen = 0
            try:
                while left := await self._store.outbox(older_than=self._grace, limit=_BATCH, after=seen):
                    seen = left[-1].position
                    await self._publish_accepted(left)
            except Unavailable as error:
                self._telemetry.connection_lost(error.plane, "publishing the outbox", error)

    async def _publish_accepted(self, entries: Sequence[OutboxEntry]) -> None:
        """Publish what the broker takes; what it refuses stays in the outbox, and in nobody's way."""
        try:
            await self.publish(entries)
        except ConfigurationError as error:
            self._telemetry.connection_lost(Plane.BROKER, "publishing the outbox", error)
