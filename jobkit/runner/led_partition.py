"""One led partition: it is led and consumed from here, and what comes is put in hand (`in_hand.py`).

Jobs that keep others waiting in a full prefetch are moved to the in-flight table (`prefetch.py`, `to_in_flight.py`), so
that other keys are reached, and so are those of a key that is paused; what is in that table is adopted (`adoption.py`).
While all of the partition is paused, nothing is consumed and nothing is adopted, but it is led on. Where its jobs have
priorities, each of its bands is consumed with a prefetch of its own, so that an urgent job waits behind no other.

Consuming and leading go together: the consumer is opened after the leadership is held and closed before it is
given up, and losing it cancels the partition's jobs. A lost broker connection cancels nothing, because the jobs'
leases do not depend on it: what is delivered again meanwhile waits in its lane and turns out to be a duplicate.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import anyio

from jobkit.errors import ConsumerClosed, LeaseLost, Unavailable
from jobkit.leases import Keeper, Lease
from jobkit.model.layout import Layout
from jobkit.model.partition import Partition
from jobkit.model.plane import Plane
from jobkit.model.priority import Priority
from jobkit.plugin.registry import Registry
from jobkit.ports.broker import Consumer
from jobkit.ports.planes import Planes
from jobkit.runner.adoption import Adoption
from jobkit.runner.decode import Job, decode
from jobkit.runner.in_hand import InHand
from jobkit.runner.lane import Lane, LaneTools
from jobkit.runner.limit_backlog import LimitBacklog
from jobkit.runner.misplaced import move
from jobkit.runner.pauses import Pauses, Rest
from jobkit.runner.pending_delivery import PendingDelivery
from jobkit.runner.prefetch import Prefetch
from jobkit.runner.shelved_keys import InflightKeys
from jobkit.runner.to_in_flight import Shelving

# A lost consumer is opened again after this long, in seconds, doubling up to the second figure.
_REOPEN_SECONDS = (0.1, 5.0)


@dataclass(frozen=True, slots=True)
class PartitionTerms:
    """Bounds of one partition: `prefetch` in messages, `max_payload` in bytes, the others in seconds.

    `hand_over_grace` is asked at each hand-over.
    """

    prefetch: int
    max_payload: int
    delivery_hold: float
    adopt_every: float
    hand_over_grace: Callable[[], float]


class LedPartition:
    """Runs one partition while this worker leads it; `upkeep` runs beside until the hand-over."""

    def __init__(
        self,
        partition: Partition,
        leadership: Lease,
        *,
        keeper: Keeper,
        planes: Planes,
        registry: Registry,
        tools: LaneTools,
        terms: PartitionTerms,
        layout: Layout,
        pauses: Pauses,
        upkeep: Callable[[LedPartition], Coroutine[Any, Any, None]],
    ) -> None:
        self.partition = partition
        # As it was when this began: who leads under another version begins anew.
        self.layout = layout
        self.consuming = False
        self.released = anyio.Event()
        self._leadership = leadership
        self._keeper = keeper
        self._planes = planes
        self._registry = registry
        self._tools = tools
        self._terms = terms
        self._upkeep = upkeep
        with_bands = registry.knows_priorities(partition.type)
        self._bands = [partition.band(priority) for priority in Priority] if with_bands else [partition]
        self._consumers: list[Consumer] = []
        self._opened = False
        self._reopened = anyio.Event()
        self._receiving = anyio.CancelScope()
        self._handed_over = False
        self._jobs = anyio.create_task_group()
        self._rest = Rest(partition, pauses)
        clock, telemetry, pipeline = tools.clock, tools.telemetry, tools.pipeline
        self._in_hand = in_hand = InHand(
            tools,
            self._jobs,
            terms.prefetch * len(self._bands),
            lane_ended=self._lane_ended,
            on_ack_unknown=self._on_ack_unknown,
        )
        self._inflight = InflightKeys(partition, planes, registry, telemetry, max_payload=terms.max_payload)
        backlog = LimitBacklog(partition.type, registry, pipeline.limit_lines, terms.prefetch)
        self._shelving = Shelving(partition, planes.store, in_hand, self._inflight, backlog, clock, telemetry)
        self._adoption = Adoption(
            partition, layout, planes, in_hand, self._inflight, backlog, self._shelving, self._rest, clock, telemetry
        )
        self._prefetches = [
            Prefetch(
                terms.prefetch,
                in_hand,
                backlog,
                self._shelving,
                pipeline,
                clock,
                priority=band.priority if with_bands else None,
            )
            for band in self._bands
        ]

    @property
    def busy(self) -> bool:
        """Whether any job is being worked on."""
        return self.running > 0

    @property
    def draining(self) -> bool:
        """Whether it is being handed over, or was."""
        return self._rest.draining

    @property
    def paused(self) -> bool:
        """Whether no job of the partition is to begin, because a person has said so."""
        return self._rest.paused

    @property
    def running(self) -> int:
        """How many jobs are being worked on."""
        return self._in_hand.running

    @property
    def in_hand(self) -> frozenset[str]:
        """The ids of the jobs that have come and are not settled, as far as they could be read."""
        return self._in_hand.ids

    @property
    def priorities(self) -> Collection[Priority]:
        """The priorities of the jobs that are consumed here: only the normal one where the type knows none."""
        return [band.priority for band in self._bands]

    async def caught_up(self) -> frozenset[str]:
        """Wait until all that is in the queue now has come, and return what is in hand then.

        It may take for ever, as `Consumer.barrier` says. Raises `ConsumerClosed`, also where there is none just now, or
        `Unavailable`.
        """
        consumers = self._consumers
        for consumer in consumers:
            await consumer.barrier()
        if not consumers or consumers is not self._consumers:
            raise ConsumerClosed(f"{self.partition} has no consumer just now")
        return self.in_hand

    async def reopened(self) -> None:
        """Return once a consumer was lost and another one is open, since this was asked last."""
        await self._reopened.wait()
        self._reopened = anyio.Event()

    def longest_wait(self) -> float:
        """Return for how many seconds the first job has waited that is not being worked on, 0 without one."""
        return self._in_hand.longest_wait()

    def drain(self) -> None:
        """Ask for the hand-over: take nothing more, let what runs go on, release the leadership."""
        self._rest.draining = True
        self._receiving.cancel()

    async def run(self) -> None:
        """Lead until drained or until the leadership is lost; `released` is set once others may lead.

        Returns when every job that was begun here has ended, which can be long after the hand-over.
        """
        try:
            async with self._jobs:
                try:
                    with self._leadership.guarding():
                        await self._lead()
                except LeaseLost:
                    self._jobs.cancel_scope.cancel()
                self._in_hand.end()
                await self._release()
        finally:
            await self._release()

    async def _release(self) -> None:
        try:
            await self._keeper.release(self._leadership)
        finally:
            self.released.set()

    async def _lead(self) -> None:
        async with anyio.create_task_group() as upkeep:
            upkeep.start_soon(self._adoption.adopt_forever, self._terms.adopt_every)
            upkeep.start_soon(self._shelving.shelve_old_forever, self._terms.delivery_hold)
            upkeep.start_soon(self._heed_pauses_forever)
            upkeep.start_soon(self._upkeep, self)
            pause = _REOPEN_SECONDS[0]
            while not self.draining:
                if self.paused or not self._adoption.surveyed.is_set():
                    await self._wait_until_ready()
                    continue
                started = self._tools.clock.now()
                try:
                    await self._consume()
                except (ConsumerClosed, Unavailable) as error:
                    self._tools.telemetry.connection_lost(Plane.BROKER, f"consuming {self.partition}", error)
                    self._look_for_rival(error)
                    if self._tools.clock.now() - started > _REOPEN_SECONDS[1]:
                        pause = _REOPEN_SECONDS[0]
                    await self._interruptible_sleep(pause * (0.5 + self._tools.rng.random()))
                    pause = min(2 * pause, _REOPEN_SECONDS[1])
            if not self._handed_over:
                # The drain met the partition without its consumer.
                await self._hand_over()
            upkeep.cancel_scope.cancel()

    def _look_for_rival(self, error: ConsumerClosed | Unavailable) -> None:
        """Tell of another worker that took the consumer, while this one may still trust its leadership."""
        rival = error.taken_by if isinstance(error, ConsumerClosed) else None
        if rival is not None and rival != self._keeper.owner and self._leadership.live:
            self._tools.pipeline.split_brain.deposed(self.partition.resource, self._leadership.ref.token, rival)

    async def _interruptible_sleep(self, seconds: float) -> None:
        with anyio.CancelScope() as self._receiving:
            if not self.draining:
                await self._tools.clock.sleep(seconds)

    async def _wait_until_ready(self) -> None:
        """Return once the partition is not paused, and the in-flight table was looked at since then; or at a drain."""
        with anyio.CancelScope() as self._receiving:
            if not self.draining:
                while self.paused:
                    await self._rest.changed.wait()
                self._adoption.look_now()
                await self._adoption.surveyed.wait()

    # ---- consuming ---------------------------------------------------------------------------------------------

    async def _consume(self) -> None:
        """Hold a consumer of each band until one is lost (raises) or the partition is drained (returns)."""
        consume, owner = self._planes.broker.consume, self._keeper.owner
        async with AsyncExitStack() as opened:
            self._consumers = [await opened.enter_async_context(consume(band, owner)) for band in self._bands]
            if self._opened:
                self._reopened.set()
            self._opened = True
            try:
                with anyio.CancelScope() as self._receiving:
                    self.consuming = True
                    if not (self.draining or self.paused):
                        await self._receive_all()
                if self.draining:
                    await self._hand_over()
                elif self.paused:
                    await self._come_to_rest()
                else:
                    raise ConsumerClosed(f"the consumer of {self.partition} is opened anew after an unknown answer")
            finally:
                self.consuming = False
                self._consumers = []
                self._in_hand.drop_deliveries()

    async def _receive_all(self) -> None:
        """Receive from each band, until one of the consumers is lost."""
        bands = list(zip(self._consumers, self._prefetches, strict=True))
        if len(bands) == 1:
            await self._receive_forever(*bands[0])
        lost: list[ConsumerClosed | Unavailable] = []
        async with anyio.create_task_group() as receiving:

            async def receive(consumer: Consumer, prefetch: Prefetch) -> None:
                try:
                    await self._receive_forever(consumer, prefetch)
                except (ConsumerClosed, Unavailable) as error:
                    lost.append(error)
                    receiving.cancel_scope.cancel()

            for consumer, prefetch in bands:
                receiving.start_soon(receive, consumer, prefetch)
        raise lost[0]

    async def _receive_forever(self, consumer: Consumer, prefetch: Prefetch) -> None:
        while True:
            while prefetch.free <= 0:
                await prefetch.wait_for_room()
            asked = prefetch.free
            deliveries = await consumer.receive(asked)
            if len(deliveries) < asked:
                prefetch.all_came()
            self._tools.telemetry.received(self.partition.type, len(deliveries))
            now = self._tools.clock.now()
            elsewhere: list[PendingDelivery] = []
            for delivery in deliveries:
                job = decode(
                    delivery.raw,
                    delivery.envelope,
                    delivery.problem,
                    self._registry,
                    max_bytes=self._terms.max_payload,
                    heading=delivery.heading,
                )
                pending = PendingDelivery(job, arrived=now, consumer=consumer, delivery=delivery)
                if isinstance(job, Job) and (self.layout.moving or not self.layout.fits(self.partition, job.key)):
                    elsewhere.append(pending)
                elif (self._inflight.keys or self._rest.paused_keys) and self._goes_aside(pending):
                    await self._adoption.put_behind(pending)
                else:
                    self._in_hand.put(pending)
            if elsewhere:
                await move(self._planes.store, self.layout, self.partition.type, elsewhere)

    def _goes_aside(self, pending: PendingDelivery) -> bool:
        """Return whether a delivery goes to the in-flight table: its key is paused, or has jobs there that come first.

        Nothing comes before a job of high priority, which has no order to keep.
        """
        key = pending.lane
        return key in self._rest.paused_keys or (key in self._inflight.keys and pending.priority is not Priority.HIGH)

    async def _lane_ended(self, key: str, lane: Lane) -> None:
        """Take up what comes after a lane's jobs, and what waited for the limits that they had."""
        if key in self._inflight.keys and not (self.draining or lane.scope.cancel_called):
            await self._adoption.go_on(key)
        if lane.limits:
            await self._adoption.top_up([limit.bucket for limit in lane.limits])

    def _on_ack_unknown(self) -> None:
        """Have the consumer opened anew, so that what the broker still counts as delivered comes again."""
        self._receiving.cancel()

    # ---- coming to rest ----------------------------------------------------------------------------------------

    async def _heed_pauses_forever(self) -> None:
        """Put into effect what is paused and what is resumed, as this worker hears of it."""
        known = self._rest.paused_keys
        was_paused = False
        while True:
            changed = self._rest.changed
            if self.paused and not was_paused:
                # Known anew when it goes on: which keys have jobs in the in-flight table.
                self._adoption.forget_survey()
                self._receiving.cancel()
            was_paused = self.paused
            paused_keys = self._rest.paused_keys
            for key in sorted(paused_keys & self._in_hand.lanes.keys()):
                self._jobs.start_soon(self._shelving.move_aside, key)
            if known - paused_keys:
                self._adoption.look_now()
            known = paused_keys
            await changed.wait()

    async def _come_to_rest(self) -> None:
        """Stop what has not begun, let what runs go on without its delivery, and have the rest go back to the queue."""
        # What comes of these keys once it is resumed goes behind what runs now.
        self._inflight.keys.update(self._in_hand.lanes)
        await self._stop_lanes(self._terms.hand_over_grace())
        await self._shelve_running()

    async def _hand_over(self) -> None:
        """Stop what has not begun, give what runs a moment to end, and shelve what goes on.

        Without such a moment, which is how the far away hand over, nothing is shelved: that takes round trips for which
        the whole partition would have no leader. What runs goes on all the same, and its message, which comes to the
        next leader in its place, waits there for its lease.
        """
        self._handed_over = True
        grace = self._terms.hand_over_grace()
        await self._stop_lanes(grace)
        if grace > 0:
            await self._shelve_running()

    async def _stop_lanes(self, grace: float) -> None:
        with anyio.move_on_after(grace):
            await self._in_hand.stop_lanes()

    async def _shelve_running(self) -> None:
        async with anyio.create_task_group() as shelving:
            # Side by side: one after another they would take as many round trips, and nobody leads meanwhile.
            for lane in list(self._in_hand.lanes.values()):
                if lane.current is not None:
                    shelving.start_soon(self._shelving.shelve, lane.current)
