"""Carrying out another number of partitions, while everything runs.

The command only says so in the store, and once all publishers have heard of it, the leader of the first partition
begins. Every worker then hands its partitions of the type over and leads them anew. Each queue's leader waits until all
publishers have heard of that, too, and publish nothing, has all that is in the queue moved to the in-flight table, each
job to its new partition, and says so. What has been moved is worked on meanwhile. With the last queue the new number is
in force. What was accepted meanwhile is published by those who sweep the outbox, and so is all else until a partition's
leader finds nothing there that is older. Then its jobs are published by whoever accepts them, after what is older of
their keys, until all publishers have heard of that.

So a key's jobs keep their order: the in-flight table comes before what is in a queue, and nothing is in the new queue
of a key before all of its old one is in that table. What comes later all the same, a retry that was kept back or the
message of a publisher that did not hear of it, is moved on as it comes, without a place in the order.

Queues beyond the last partition are led on until they hold nothing. Then nobody leads them, and they are removed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial

import anyio

from jobkit.client.layouts import FRESH_SECONDS, Layouts
from jobkit.errors import ConfigurationError, ConsumerClosed, Unavailable
from jobkit.model.clock import Clock
from jobkit.model.layout import Layout
from jobkit.model.partition import Partition
from jobkit.model.plane import Plane
from jobkit.ports.planes import Planes
from jobkit.ports.store import OutboxEntry
from jobkit.runner.led_partition import LedPartition
from jobkit.runner.misplaced import move_shelved
from jobkit.telemetry import Telemetry
from jobkit.worker.maintenance.barrier import caught_up

# By then every publisher has heard of the change, and what it was publishing is in.
_HEARD_SECONDS = 2 * FRESH_SECONDS
# What failed is tried again after so long, and a barrier may be lost for so long.
_AGAIN_SECONDS = 0.5
_BARRIER_SECONDS = 5.0
# So often it is looked whether the queues beyond the last partition hold nothing, and whether nobody leads them.
_LOOK_SECONDS = 2.0
_PAGE = 200


class Repartitioner:
    """What the leader of a partition does for a change; `otherwise` is what it does when there is none."""

    def __init__(
        self,
        planes: Planes,
        layouts: Layouts,
        otherwise: Callable[[LedPartition], Awaitable[None]],
        *,
        clock: Clock,
        telemetry: Telemetry,
    ) -> None:
        self._planes = planes
        self._layouts = layouts
        self._otherwise = otherwise
        self._clock = clock
        self._telemetry = telemetry

    async def watch(self, led: LedPartition) -> None:
        """Do what the layout that the partition is led under asks for, until cancelled."""
        if led.layout.moving:
            if led.partition.index in led.layout.unmoved:
                await self._move(led)
        elif led.partition.index < led.layout.partitions:
            async with anyio.create_task_group() as beside:
                beside.start_soon(self._open, led)
                if led.partition.index == 0:
                    beside.start_soon(self._lead_changes, led)
                await self._otherwise(led)

    # ---- moving ----------------------------------------------------------------------------------------------------

    async def _move(self, led: LedPartition) -> None:
        """See that all of before is moved, and say so."""
        await self._clock.sleep(_HEARD_SECONDS)
        while not await self._try(led, f"moving the jobs of {led.partition}", self._moved):
            await self._clock.sleep(_AGAIN_SECONDS)

    async def _moved(self, led: LedPartition) -> bool:
        await caught_up(led, _BARRIER_SECONDS, self._clock)
        if not await move_shelved(self._planes.store, led.layout, led.partition):
            return False
        type, version, index = led.partition.type, led.layout.version, led.partition.index
        if index == 0:
            # So that all who look at the queues know of the new ones.
            await self._planes.broker.restore(type, led.layout.led)
        after = await self._layouts.change(type, lambda now: now.moved(index) if now.version == version else None)
        if after is not None and not after.moving:
            self._telemetry.partitions_in_force(type, after.partitions)
        return True

    # ---- what gathered in the outbox -------------------------------------------------------------------------------

    async def _open(self, led: LedPartition) -> None:
        """Have publishers go on with the partition, once what gathered in the outbox is published."""
        type, version, index = led.partition.type, led.layout.version, led.partition.index
        while (layout := self._layouts.of(type)).version == version:
            since = self._clock.now()
            if index in layout.gathered:
                await self._insist(led, partial(self._swept, since=since))
                await self._insist(led, self._begin_opening)
            elif index in layout.opening:
                # Only by then has every publisher heard that nothing is to be left there.
                await self._clock.sleep(_HEARD_SECONDS)
                await self._insist(led, partial(self._swept, since=since + FRESH_SECONDS))
                await self._insist(led, self._end_opening)
            else:
                return

    async def _insist(self, led: LedPartition, do: Callable[[LedPartition], Awaitable[bool]]) -> None:
        while not await self._try(led, f"opening {led.partition} after a change", do):
            await self._clock.sleep(_AGAIN_SECONDS)

    async def _swept(self, led: LedPartition, since: float) -> bool:
        """Wait until nothing of the partition that was accepted before `since`, by this clock, is in the outbox."""
        after = 0
        while page := await self._outbox(since, after):
            left = [one for one in page if _is_of(led, one)]
            after = left[0].position - 1 if left else page[-1].position
            if left:
                await self._clock.sleep(_AGAIN_SECONDS)
        return True

    async def _outbox(self, since: float, after: int) -> Sequence[OutboxEntry]:
        return await self._planes.store.outbox(older_than=self._clock.now() - since, limit=_PAGE, after=after)

    async def _begin_opening(self, led: LedPartition) -> bool:
        version, index = led.layout.version, led.partition.index
        await self._layouts.change(
            led.partition.type,
            lambda now: now.swept(index) if now.version == version and index in now.gathered else None,
        )
        return True

    async def _end_opening(self, led: LedPartition) -> bool:
        version, index = led.layout.version, led.partition.index
        await self._layouts.change(
            led.partition.type,
            lambda now: now.opened(index) if _opens(now, version, index) else None,
        )
        return True

    # ---- queues beyond the last partition --------------------------------------------------------------------------

    async def _lead_changes(self, led: LedPartition) -> None:
        while True:
            await self._clock.sleep(_LOOK_SECONDS)
            layout = self._layouts.of(led.partition.type)
            if layout.version != led.layout.version:
                continue
            if layout.next is not None:
                # By the end of this sleep all publishers have heard of it.
                await self._clock.sleep(_HEARD_SECONDS)
                await self._try(led, f"changing the number of partitions of {led.partition.type}", self._begin)
            elif layout.surplus:
                await self._try(led, f"removing queues of {led.partition.type}", self._clean_up)

    async def _begin(self, led: LedPartition) -> bool:
        version = led.layout.version

        def begun(now: Layout) -> Layout | None:
            return None if now.version != version or now.next is None else now.changed(now.next)

        await self._layouts.change(led.partition.type, begun)
        return True

    async def _clean_up(self, led: LedPartition) -> bool:
        layout = self._layouts.of(led.partition.type)
        if layout.led > layout.partitions:
            return await self._retire(led.partition.type, layout)
        return await self._remove(led.partition.type, layout)

    async def _retire(self, type: str, layout: Layout) -> bool:
        """Have nobody lead the queues any more where they hold nothing."""
        beyond = {Partition(type, index) for index in range(layout.partitions, layout.led)}
        depths = [depth for depth in await self._planes.broker.depths() if depth.partition in beyond]
        if any(depth.ready for depth in depths) or await self._shelved_in(beyond):
            return False
        return await self._replace(type, layout, layout.retired())

    async def _remove(self, type: str, layout: Layout) -> bool:
        """Remove the queues that nobody leads; where something has come into one, it is led again."""
        beyond = [Partition(type, index) for index in range(layout.led, layout.made)]
        leased = {lease.resource for lease in await self._planes.coordinator.leases(f"leader/{type}/")}
        if any(partition.resource in leased for partition in beyond):
            return False
        # What a leader had put in flight there as it was told to leave, it may have put there too late to be seen.
        if await self._shelved_in(beyond):
            return await self._replace(type, layout, layout.reopened())
        for partition in beyond:
            if not await self._planes.broker.remove(partition):
                return await self._replace(type, layout, layout.reopened())
        await self._planes.broker.restore(type, layout.led)
        return await self._replace(type, layout, layout.removed())

    async def _shelved_in(self, partitions: Iterable[Partition]) -> bool:
        """Return whether any job is in flight in one of the partitions."""
        for partition in sorted(partitions):
            if await self._planes.store.shelved_keys(partition, limit=1):
                return True
        return False

    async def _replace(self, type: str, before: Layout, after: Layout) -> bool:
        return await self._layouts.change(type, lambda now: after if now == before else None) is not None

    # ----------------------------------------------------------------------------------------------------------------

    async def _try(self, led: LedPartition, doing: str, do: Callable[[LedPartition], Awaitable[bool]]) -> bool:
        """Report what fails, for the next time."""
        try:
            return await do(led)
        except (ConsumerClosed, Unavailable, ConfigurationError) as error:
            plane = error.plane if isinstance(error, Unavailable) else Plane.BROKER
            self._telemetry.connection_lost(plane, doing, error)
            return False


def _opens(now: Layout, version: int, index: int) -> bool:
    return now.version == version and index in now.opening and now.next is None


def _is_of(led: LedPartition, entry: OutboxEntry) -> bool:
    return led.layout.partition(entry.envelope.type, entry.envelope.key) == led.partition
