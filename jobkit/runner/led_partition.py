"""One led partition: its consumer, its lanes, and the in-flight jobs it adopts.

Jobs of one key that fill the prefetch while slots are idle, or of a key whose lease somebody else holds, are moved to
the in-flight table (`set_aside.py`), so that other keys are reached; so are those that wait for a limit behind others
(`limit_backlog.py`), and those of a key that is paused. While all of the partition is paused, nothing is consumed and
nothing is adopted, but it is led on.

Consuming and leading go together: the consumer is opened after the leadership is held and closed before it is
given up, and losing it cancels the partition's jobs. A lost broker connection cancels nothing, because the jobs'
leases do not depend on it: what is delivered again meanwhile waits in its lane and turns out to be a duplicate.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import anyio
from anyio.abc import TaskGroup

from jobkit.errors import ConsumerClosed, LeaseLost, Unavailable
from jobkit.leases import Keeper, Lease
from jobkit.model.layout import Layout
from jobkit.model.partition import Partition, slot_of
from jobkit.model.plane import Plane
from jobkit.plugin.registry import Registry
from jobkit.ports.broker import Consumer
from jobkit.ports.planes import Planes
from jobkit.runner.decode import Job, Malformed, decode
from jobkit.runner.lane import Lane, LaneTools
from jobkit.runner.limit_backlog import LimitBacklog
from jobkit.runner.moving import move
from jobkit.runner.pauses import Pauses
from jobkit.runner.pending_delivery import PendingDelivery
from jobkit.runner.set_aside import SetAside

# A lost consumer is opened again after this long, in seconds, doubling up to the second figure.
_REOPEN_SECONDS = (0.1, 5.0)
# How soon a look at the in-flight table that failed is repeated before anything is consumed, or shelving a job.
_LOOK_AGAIN_SECONDS = 0.5
# A prefetch that was full for so long, with idle slots, and in which less than such a share has ended, is made room in.
_STUCK_SECONDS = 1.0
_STUCK_SHARE = 0.1
# Where jobs may wait for limits with keys, a full prefetch is looked through so often.
_CROWDED_SECONDS = 0.1
# In memory there are so many times the prefetch at most, with what is adopted.
_MOST_IN_HAND = 3


@dataclass(frozen=True, slots=True)
class PartitionTerms:
    """Bounds of one partition: `prefetch` in messages, `max_payload` in bytes, the others in seconds."""

    prefetch: int
    max_payload: int
    delivery_hold: float
    adopt_every: float
    hand_over_grace: float


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
        self.draining = False
        self.released = anyio.Event()
        self._leadership = leadership
        self._keeper = keeper
        self._planes = planes
        self._registry = registry
        self._tools = tools
        self._terms = terms
        self._pauses = pauses
        self._upkeep = upkeep
        self._consumer: Consumer | None = None
        self._opened = False
        self._reopened = anyio.Event()
        self._lanes: dict[str, Lane] = {}
        # Lanes that no task has taken up yet, and how many tasks have none; None where none will begin any more.
        self._begun: asyncio.Queue[tuple[str, Lane] | None] = asyncio.Queue()
        self._idle_runners = 0
        # In the order they came: what is shelved of a key is adopted in that order.
        self._unsettled: dict[PendingDelivery, None] = {}
        self._room = anyio.Event()
        self._lane_ended = anyio.Event()
        self._receiving = anyio.CancelScope()
        self._handed_over = False
        self._aside = SetAside(partition, planes.store, registry, tools.telemetry, max_payload=terms.max_payload)
        self._backlog = LimitBacklog(partition.type, registry, tools.pipeline.limit_lines, terms.prefetch)
        # Set once it is known which keys have jobs in the in-flight table: before that nothing is consumed.
        self._surveyed = anyio.Event()
        self._look_now = anyio.Event()
        # Keys whose jobs in hand are being moved to the in-flight table: those jobs outlive their lane.
        self._moving: set[str] = set()
        self._settled = 0
        # Those of the unsettled that were adopted or shelved.
        self._without_delivery: set[PendingDelivery] = set()
        # Since when the prefetch has been full, and how many had ended by then.
        self._full_since: tuple[float, int] | None = None

    @property
    def busy(self) -> bool:
        """Tell whether any job is being worked on."""
        return any(lane.working for lane in self._lanes.values())

    @property
    def paused(self) -> bool:
        """Tell whether no job of the partition is to begin, because a person has said so."""
        return self._pauses.hold(self.partition)

    @property
    def running(self) -> int:
        """How many jobs are being worked on."""
        return sum(lane.working for lane in self._lanes.values())

    @property
    def in_hand(self) -> frozenset[str]:
        """The ids of the jobs that have come and are not settled, as far as they could be read."""
        envelopes = (pending.job.envelope for pending in self._unsettled)
        return frozenset(envelope.id for envelope in envelopes if envelope is not None)

    async def caught_up(self) -> frozenset[str]:
        """Wait until all that is in the queue now has come, and return what is in hand then.

        It may take for ever, as `Consumer.barrier` says. Raises `ConsumerClosed`, also where there is none just now, or
        `Unavailable`.
        """
        consumer = self._consumer
        if consumer is not None:
            await consumer.barrier()
        if consumer is None or consumer is not self._consumer:
            raise ConsumerClosed(f"{self.partition} has no consumer just now")
        return self.in_hand

    async def reopened(self) -> None:
        """Return once a consumer was lost and another one is open, since this was asked last."""
        await self._reopened.wait()
        self._reopened = anyio.Event()

    def longest_wait(self) -> float:
        """Return for how many seconds the first job has waited here that is not being worked on, 0 without one.

        Counted from its submission where that is known, on the wall clocks of two machines.
        """
        worked_on = {lane.current for lane in self._lanes.values() if lane.working}
        first = next((held for held in self._unsettled if held not in worked_on), None)
        if first is None:
            return 0.0
        waited = self._tools.clock.now() - first.arrived
        submitted = first.job.envelope.submitted_at if first.job.envelope is not None else 0.0
        return max(waited, self._tools.clock.wall() - submitted) if submitted > 0 else waited

    def drain(self) -> None:
        """Ask for the hand-over: take nothing more, let what runs go on, release the leadership."""
        self.draining = True
        self._receiving.cancel()

    async def run(self) -> None:
        """Lead until drained or until the leadership is lost; `released` is set once others may lead.

        Returns when every job that was begun here has ended, which can be long after the hand-over.
        """
        try:
            async with anyio.create_task_group() as jobs:
                try:
                    with self._leadership.guarding():
                        await self._lead(jobs)
                except LeaseLost:
                    jobs.cancel_scope.cancel()
                self._begun.put_nowait(None)
                await self._release()
        finally:
            await self._release()

    async def _release(self) -> None:
        try:
            await self._keeper.release(self._leadership)
        finally:
            self.released.set()

    async def _lead(self, jobs: TaskGroup) -> None:
        async with anyio.create_task_group() as upkeep:
            upkeep.start_soon(self._adopt_forever, jobs)
            upkeep.start_soon(self._shelve_forever)
            upkeep.start_soon(self._heed_pauses_forever, jobs)
            upkeep.start_soon(self._upkeep, self)
            pause = _REOPEN_SECONDS[0]
            while not self.draining:
                if self.paused or not self._surveyed.is_set():
                    await self._wait_until_ready()
                    continue
                started = self._tools.clock.now()
                try:
                    await self._consume(jobs)
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
                    await self._pauses.changed.wait()
                self._look_now.set()
                await self._surveyed.wait()

    # ---- consuming ---------------------------------------------------------------------------------------------

    async def _consume(self, jobs: TaskGroup) -> None:
        """Hold one consumer until it is lost (raises) or the partition is drained (returns)."""
        async with self._planes.broker.consume(self.partition, self._keeper.owner) as consumer:
            self._consumer = consumer
            if self._opened:
                self._reopened.set()
            self._opened = True
            try:
                with anyio.CancelScope() as self._receiving:
                    self.consuming = True
                    if not (self.draining or self.paused):
                        await self._receive_forever(consumer, jobs)
                if self.draining:
                    await self._hand_over()
                elif self.paused:
                    await self._come_to_rest()
                else:
                    raise ConsumerClosed(f"the consumer of {self.partition} is opened anew after an unknown answer")
            finally:
                self.consuming = False
                self._consumer = None
                self._forget_deliveries()

    async def _receive_forever(self, consumer: Consumer, jobs: TaskGroup) -> None:
        while True:
            while self._free <= 0:
                await self._wait_for_room()
            asked = self._free
            deliveries = await consumer.receive(asked)
            if len(deliveries) < asked:
                # Nobody waits in the queue.
                self._full_since = None
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
                if isinstance(job, Job) and (self.layout.moving or not self._fits(job.key)):
                    elsewhere.append(pending)
                elif (self._aside.keys or self._paused_keys) and self._goes_aside(pending.lane):
                    await self._put_behind(pending, jobs)
                else:
                    self._put(pending, jobs)
            if elsewhere:
                await move(self._planes.store, self.layout, self.partition.type, elsewhere)

    def _fits(self, key: str) -> bool:
        """Tell whether a key belongs to this partition."""
        return slot_of(key) % self.layout.partitions == self.partition.index

    @property
    def _paused_keys(self) -> frozenset[str]:
        return self._pauses.keys(self.partition.type)

    @property
    def _free(self) -> int:
        """How many more deliveries may be held."""
        return self._terms.prefetch - len(self._unsettled) + len(self._without_delivery)

    async def _wait_for_room(self) -> None:
        """Return once a delivery was settled, or one key's were set aside because they kept all others waiting."""
        now = self._tools.clock.now()
        if self._full_since is None:
            self._full_since = (now, self._settled)
        since, settled = self._full_since
        self._room = anyio.Event()
        patience = max(0.0, since + _STUCK_SECONDS - now)
        looks_sooner = self._backlog.possible and patience > _CROWDED_SECONDS
        with suppress(TimeoutError):
            # At a third of the time that a cancel scope takes; nearly each job goes through this.
            async with asyncio.timeout(_CROWDED_SECONDS if looks_sooner else patience):
                await self._room.wait()
            return
        if self._backlog.possible and (await self._thin_out() or looks_sooner):
            return
        stuck = self._settled - settled <= _STUCK_SHARE * self._terms.prefetch
        self._full_since = None
        if stuck and self._tools.pipeline.idle:
            await self._set_one_aside()

    async def _set_one_aside(self) -> None:
        """Move the deliveries of the key that holds most of them to the in-flight table, all in their order."""
        held = Counter(pending.lane for pending in self._unsettled if pending.holds_delivery)
        waiting = self._tools.pipeline.limit_lines.ids
        for key, number in held.most_common():
            lane = self._lanes.get(key)
            if lane is not None and lane.current is not None and _id(lane.current) in waiting:
                # Others of the type would wait for it as well.
                continue
            if lane is None or isinstance(lane.waiting[0].job if lane.waiting else None, Malformed):
                continue
            if number > 1 or not lane.working:
                await self._set_aside(key, lane)
                return

    async def _set_aside(self, key: str, lane: Lane) -> None:
        async with self._aside.ordering:
            self._aside.keys.add(key)
            for pending in [held for held in self._unsettled if held.lane == key]:
                if not await self._shelve(pending):
                    return
            lane.drop_waiting()
            if not lane.working and len(self._unsettled) > _MOST_IN_HAND * self._terms.prefetch:
                lane.scope.cancel()

    async def _thin_out(self) -> bool:
        """Move what waits for a limit behind enough others to the in-flight table; return whether there was any."""
        moved = False
        async with self._aside.ordering:
            for limit, pending in self._backlog.crowd(self._unsettled):
                key = pending.lane
                lane = self._lanes.get(key)
                if lane is None or lane.current is not pending or lane.working:
                    continue
                self._aside.keys.add(key)
                for held in [held for held in self._unsettled if held.lane == key]:
                    if not await self._shelve(held):
                        return moved
                if lane.current is pending and not lane.working:
                    self._backlog.add(limit, key)
                    lane.scope.cancel()
                    moved = True
        return moved

    async def _top_up(self, jobs: TaskGroup, buckets: Collection[str] | None = None) -> None:
        """Take up again what waits in the table for limits of which few wait in hand."""
        for key in self._backlog.take(self._unsettled, buckets):
            await self._go_on(key, jobs)

    async def _put_behind(self, pending: PendingDelivery, jobs: TaskGroup) -> None:
        """Take a delivery of a key that has jobs in the in-flight table: those come first."""
        key = pending.lane
        while True:
            try:
                async with self._aside.ordering:
                    known = key in self._lanes or key in self._backlog
                    if key in self._paused_keys:
                        self._aside.keys.add(key)
                    elif not known and len(self._unsettled) < _MOST_IN_HAND * self._terms.prefetch:
                        await self._fetch(key, jobs)
                    if key in self._aside.keys:
                        await pending.shelve(self._planes.store, self.partition)
                    else:
                        self._put(pending, jobs)
                    return
            except Unavailable as error:
                self._tools.telemetry.connection_lost(error.plane, f"shelving a job of {self.partition}", error)
                await self._tools.clock.sleep(_LOOK_AGAIN_SECONDS)

    def _put(self, pending: PendingDelivery, jobs: TaskGroup) -> None:
        # What is malformed has a lane of its own: one that the store cannot take holds up no other.
        key = pending.lane
        self._unsettled[pending] = None
        if not pending.holds_delivery:
            self._without_delivery.add(pending)
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = Lane(self._tools, self._done, self._on_ack_unknown)
            self._begun.put_nowait((key, lane))
            if self._begun.qsize() > self._idle_runners:
                jobs.start_soon(self._run_lanes, jobs)
        lane.put(pending)

    async def _run_lanes(self, jobs: TaskGroup) -> None:
        """Run one lane after another: to start a task for each would cost as much as some jobs do."""
        while True:
            self._idle_runners += 1
            begun = await self._begun.get()
            self._idle_runners -= 1
            if begun is None:
                # No lane will begin any more: tell the next one too.
                self._begun.put_nowait(None)
                return
            await self._run_lane(*begun, jobs)

    async def _run_lane(self, key: str, lane: Lane, jobs: TaskGroup) -> None:
        try:
            await lane.run()
        finally:
            del self._lanes[key]
            for pending in list(lane.waiting):
                if not (key in self._moving and pending.holds_delivery):
                    self._done(pending)
            self._lane_ended.set()
        if key in self._aside.keys and not lane.scope.cancel_called:
            await self._go_on(key, jobs)
        if lane.limits:
            await self._top_up(jobs, [limit.bucket for limit in lane.limits])

    async def _go_on(self, key: str, jobs: TaskGroup) -> None:
        """Take the next jobs of a key from the in-flight table. Where that fails, it is adopted at the next look."""
        try:
            async with self._aside.ordering:
                if key not in self._lanes and not self._at_rest(key):
                    await self._fetch(key, jobs)
        except Unavailable as error:
            self._tools.telemetry.connection_lost(error.plane, f"adopting jobs of {self.partition}", error)

    def _done(self, pending: PendingDelivery) -> None:
        self._unsettled.pop(pending, None)
        self._without_delivery.discard(pending)
        self._settled += 1
        self._room.set()

    def _on_ack_unknown(self) -> None:
        """Have the consumer opened anew, so that what the broker still counts as delivered comes again."""
        self._receiving.cancel()

    def _forget_deliveries(self) -> None:
        """Drop what waits and belongs to a consumer that is gone: it will be delivered again."""
        for pending in [held for held in self._unsettled if held.holds_delivery]:
            if (lane := self._lanes.get(pending.lane)) is not None:
                lane.drop(pending)
            else:
                self._done(pending)

    # ---- pauses ------------------------------------------------------------------------------------------------

    def _goes_aside(self, key: str) -> bool:
        """Tell whether what is delivered of a key goes to the in-flight table: it is paused, or has jobs there."""
        return key in self._aside.keys or key in self._paused_keys

    def _at_rest(self, key: str) -> bool:
        """Tell whether nothing of a key is to begin here."""
        return self.draining or self.paused or key in self._paused_keys

    async def _heed_pauses_forever(self, jobs: TaskGroup) -> None:
        """Put into effect what is paused and what is resumed, as this worker hears of it."""
        known = self._paused_keys
        was_paused = False
        while True:
            changed = self._pauses.changed
            if self.paused and not was_paused:
                # Known anew when it goes on: which keys have jobs in the in-flight table.
                self._surveyed = anyio.Event()
                self._receiving.cancel()
            was_paused = self.paused
            for key in sorted(self._paused_keys & self._lanes.keys()):
                jobs.start_soon(self._move_aside, key)
            if known - self._paused_keys:
                self._look_now.set()
            known = self._paused_keys
            await changed.wait()

    async def _move_aside(self, key: str) -> None:
        """Begin nothing more of a key, and move its jobs in hand to the in-flight table, in their order."""
        if key in self._moving:
            return
        self._moving.add(key)
        self._aside.keys.add(key)
        if (lane := self._lanes.get(key)) is not None:
            _stop(lane)
        try:
            # To its end, however often it has to be tried: what comes of the key meanwhile goes behind, resumed or not.
            async with self._aside.ordering:
                while not await self._moved_aside(key):
                    await self._tools.clock.sleep(_LOOK_AGAIN_SECONDS)
        finally:
            self._moving.discard(key)

    async def _moved_aside(self, key: str) -> bool:
        for pending in [held for held in self._unsettled if held.lane == key]:
            if not await self._shelve(pending):
                return False
            if (lane := self._lanes.get(key)) is not None and pending in lane.waiting:
                lane.drop(pending)
            else:
                self._done(pending)
        return True

    async def _come_to_rest(self) -> None:
        """Stop what has not begun, let what runs go on without its delivery, and have the rest go back to the queue."""
        # What comes of these keys once it is resumed goes behind what runs now.
        self._aside.keys.update(self._lanes)
        await self._stop_lanes()

    # ---- the in-flight table -----------------------------------------------------------------------------------

    async def _adopt_forever(self, jobs: TaskGroup) -> None:
        """Take over jobs whose deliveries are acked and whose workers may be gone: their leases will tell."""
        while True:
            self._look_now = anyio.Event()
            crowded = False
            try:
                await self._adopt(jobs)
                if self._backlog.possible:
                    crowded = await self._thin_out()
                    await self._top_up(jobs)
            except Unavailable as error:
                self._tools.telemetry.connection_lost(error.plane, f"adopting jobs of {self.partition}", error)
            # Nothing is consumed before the first look.
            look_soon = crowded or self.layout.moving or not self._surveyed.is_set()
            with anyio.move_on_after(_LOOK_AGAIN_SECONDS if look_soon else self._terms.adopt_every):
                await self._look_now.wait()

    async def _adopt(self, jobs: TaskGroup) -> None:
        """Take up the keys with in-flight jobs that have no lane here and that nobody holds a lease on."""
        if self.paused:
            return
        surveyed = self._surveyed
        found = [key for key in await self._aside.all_keys() if self._fits(key)]
        self._backlog.retain(found)
        keys = [key for key in found if key not in self._lanes and key not in self._backlog]
        self._aside.keys.update(keys)
        surveyed.set()
        if not keys:
            return
        leases = await self._planes.coordinator.leases(f"{self.partition.type}/")
        leased = {lease.resource for lease in leases}
        for key in keys:
            if len(self._unsettled) >= _MOST_IN_HAND * self._terms.prefetch:
                return
            if f"{self.partition.type}/{key}" not in leased and not self._at_rest(key):
                await self._go_on(key, jobs)

    async def _fetch(self, key: str, jobs: TaskGroup) -> None:
        """Put the first in-flight jobs of a key that has no lane here into one."""
        taken = await self._aside.take(key)
        if self._at_rest(key):
            # Paused meanwhile: they stay where they are.
            self._aside.keys.add(key)
            return
        for job in taken:
            self._put(PendingDelivery(job, arrived=self._tools.clock.now()), jobs)

    async def _shelve_forever(self) -> None:
        """Move what has held its delivery for too long into the in-flight table."""
        while True:
            await self._tools.clock.sleep(self._terms.delivery_hold / 10)
            oldest = self._tools.clock.now() - self._terms.delivery_hold
            for pending in [held for held in self._unsettled if held.holds_delivery and held.arrived <= oldest]:
                await self._shelve(pending)

    async def _shelve(self, pending: PendingDelivery) -> bool:
        """Shelve a job, or tell of what went wrong; return whether it is shelved."""
        try:
            await pending.shelve(self._planes.store, self.partition)
        except (ConsumerClosed, Unavailable) as error:
            # The delivery is still owed, or comes again; either way the job is not lost.
            plane = error.plane if isinstance(error, Unavailable) else Plane.BROKER
            self._tools.telemetry.connection_lost(plane, f"shelving a job of {self.partition}", error)
            if plane == Plane.BROKER:
                self._on_ack_unknown()
            return False
        if not pending.holds_delivery and pending in self._unsettled:
            self._without_delivery.add(pending)
        return True

    async def _hand_over(self) -> None:
        """Stop what has not begun, give what runs a moment to end, and shelve what goes on."""
        self._handed_over = True
        await self._stop_lanes()

    async def _stop_lanes(self) -> None:
        for lane in list(self._lanes.values()):
            _stop(lane)
        with anyio.move_on_after(self._terms.hand_over_grace):
            while self._lanes:
                self._lane_ended = anyio.Event()
                await self._lane_ended.wait()
        async with anyio.create_task_group() as shelving:
            # Side by side: one after another they would take as many round trips, and nobody leads meanwhile.
            for lane in list(self._lanes.values()):
                if lane.current is not None:
                    shelving.start_soon(self._shelve, lane.current)


def _stop(lane: Lane) -> None:
    """Have a lane begin nothing more: it ends with the attempt that runs, or at once."""
    lane.stopping = True
    if not lane.working:
        lane.scope.cancel()


def _id(pending: PendingDelivery) -> str | None:
    """Return the id of a wake-up's job, as far as it could be read."""
    return None if pending.job.envelope is None else pending.job.envelope.id
