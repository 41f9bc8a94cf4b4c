"""Publishing again what the broker lost: jobs that wait in the store, and that no message brings to a worker any more.

Whoever leads a partition finds them by itself. It notes jobs that need a message and are not in hand here, waits for a
barrier in the partition's queue, and looks again. A queue keeps its order, so by then each message that was in it has
come: what still needs one, and is still not in hand, has none. A new leader starts anew.

It does not promise to be right: a message may be kept where no barrier goes, and then its job is published twice. That
does no harm, for the store drops what comes again. It costs nothing while nothing waits, and one barrier where
something does.
"""

from __future__ import annotations

import random
from collections.abc import Coroutine, Sequence
from typing import Any

import anyio

from jobkit.client.layouts import Layouts
from jobkit.errors import ConfigurationError, ConsumerClosed, Unavailable
from jobkit.model.clock import Clock
from jobkit.model.plane import Plane
from jobkit.ports.adrift import Adrift
from jobkit.ports.planes import Planes
from jobkit.runner.led_partition import LedPartition
from jobkit.telemetry import Telemetry
from jobkit.worker.maintenance.barrier import caught_up

# So many jobs are looked at in one call, and at most so many are published again at a time.
_PAGE = 500
# A page in which nothing is missing is followed by a pause so many times as long as it took, of at least so many
# seconds: between pages the store belongs to the jobs.
_PAUSE_FACTOR = 20.0
_PAUSE_SECONDS = 0.05
# After a consumer was lost and is open again, it is looked at most so many seconds later: not by all at once.
_SOON_SECONDS = 1.0


class Republisher:
    """Looks after the partitions that one worker leads: each of them at least every `every` seconds."""

    def __init__(
        self,
        planes: Planes,
        owner: str,
        layouts: Layouts,
        *,
        every: float,
        clock: Clock,
        rng: random.Random,
        telemetry: Telemetry,
    ) -> None:
        self._planes = planes
        self._owner = owner
        self._layouts = layouts
        self._every = every
        self._clock = clock
        self._rng = rng
        self._telemetry = telemetry

    async def watch(self, led: LedPartition) -> None:
        """Look for jobs without a message and publish them again, until cancelled."""
        while True:
            await self._pause(led)
            if led.paused:
                # There is no consumer to ask, and nothing to be in a hurry for: the next one is looked at soon.
                continue
            if led.partition.index == 0:
                await self._try(f"restoring the queues of {led.partition.type}", self._restore(led))
            await self._try(f"looking for lost messages of {led.partition}", self._look(led))

    async def _try(self, doing: str, call: Coroutine[Any, Any, None]) -> None:
        """Report what fails, for the next look to do."""
        try:
            await call
        except (ConsumerClosed, Unavailable, ConfigurationError) as error:
            plane = error.plane if isinstance(error, Unavailable) else Plane.BROKER
            self._telemetry.connection_lost(plane, doing, error)

    async def _restore(self, led: LedPartition) -> None:
        """Make queues that are missing, and lead those that are too many until they can be removed.

        Who had stood still since before a change may have made them again.
        """
        type = led.partition.type
        await self._planes.broker.restore(type, self._layouts.of(type).led)
        there = [depth.partition.index for depth in await self._planes.broker.depths() if depth.partition.type == type]
        if (queues := max(there, default=-1) + 1) > self._layouts.of(type).made:
            version = led.layout.version
            await self._layouts.change(
                type, lambda now: now.found(queues) if now.version == version and now.made < queues else None
            )

    async def _pause(self, led: LedPartition) -> None:
        """Wait for the next look: for a while, or until a consumer that was lost is open again."""
        async with anyio.create_task_group() as either:

            async def reopened() -> None:
                await led.reopened()
                await self._clock.sleep(_SOON_SECONDS * self._rng.random())
                either.cancel_scope.cancel()

            either.start_soon(reopened)
            await self._clock.sleep(self._every * (0.5 + 0.5 * self._rng.random()))
            either.cancel_scope.cancel()

    async def _look(self, led: LedPartition) -> None:
        """Go once through the jobs that were accepted by now and need a message."""
        upto = await self._planes.store.horizon()
        after: int | None = 0
        while after is not None:
            started = self._clock.now()
            page, after = await self._page(led, after, upto)
            if missed := _missed(page, led, led.in_hand):
                await self._judge(led, missed)
            elif after is not None:
                await self._clock.sleep(max(_PAUSE_SECONDS, _PAUSE_FACTOR * (self._clock.now() - started)))

    async def _page(self, led: LedPartition, after: int, upto: int) -> tuple[Sequence[Adrift], int | None]:
        partitions = led.layout.partitions
        return await self._planes.store.adrift(led.partition, partitions, after=after, upto=upto, limit=_PAGE)

    async def _judge(self, led: LedPartition, missed: Sequence[Adrift]) -> None:
        """Publish those again whose messages do not come with all that is in the queue now."""
        suspects = {job.envelope.id for job in missed}
        in_hand = await caught_up(led, self._every, self._clock)
        # Looked at only then: what ended in between is neither in hand nor in need of a message.
        lost: list[Adrift] = []
        after: int | None = missed[0].number - 1
        while after is not None:
            page, after = await self._page(led, after, missed[-1].number)
            lost += [job for job in _missed(page, led, in_hand) if job.envelope.id in suspects]
        if lost:
            await self._republish(led, lost)

    async def _republish(self, led: LedPartition, lost: Sequence[Adrift]) -> None:
        """Publish jobs again, but for those of a key that somebody else works on: its jobs wait for that, wherever."""
        type = led.partition.type
        leases = await self._planes.coordinator.leases(f"{type}/")
        elsewhere = {lease.resource for lease in leases if lease.owner != self._owner}
        ids = [job.envelope.id for job in lost if f"{type}/{job.envelope.key}" not in elsewhere]
        if ids and (published := await self._planes.inspection.republish(ids)):
            self._telemetry.messages_lost(str(led.partition), type, published)


def _missed(page: Sequence[Adrift], led: LedPartition, in_hand: frozenset[str]) -> list[Adrift]:
    """Return the jobs that wait for a message that should be in a queue which is consumed here."""
    return [
        job
        for job in page
        if not job.delayed and job.envelope.id not in in_hand and job.envelope.priority in led.priorities
    ]
