"""Sharing partitions fairly: how many each worker leads, and which it gives up (`led_partition.py` hands one over).

Each worker looks at the live workers of a type, and leads its share of the partitions: as many as the others, or fewer,
down to none, where it is farther from store and coordinator than they are. Who has too many drains one and releases
it; who has too few takes what is free, and only that, so that healthy workers never contend. Where people asked for a
partition to be led by a certain worker, the others hand it over and leave it to that one. It is not mutual exclusion:
that is the lease that each leadership is.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Mapping, Sequence

import anyio
from anyio.abc import TaskGroup

from jobkit.client.layouts import Layouts
from jobkit.errors import ConfigurationError, Unavailable
from jobkit.leases import Keeper, Lease
from jobkit.model.clock import Clock
from jobkit.model.partition import Partition
from jobkit.ports.coordinator import Coordinator, LeaseInfo, Member
from jobkit.runner.led_partition import LedPartition
from jobkit.telemetry import Telemetry
from jobkit.worker.fair_share import assignments, rank, share_with
from jobkit.worker.latency import LOOK_SECONDS, NEAR_SECONDS

# While it leads too few, a worker looks for free partitions at least this often, in seconds.
_LOOK_SECONDS = 1.0
# And at most this often, however many changes it is told of.
_SETTLE_SECONDS = 0.05
# Who finds itself farther away says so, and acts after one more look and a trip there, which counts for no more than
# this: the same may have befallen the others, who notice within a look.
_LONGEST_TRIP_SECONDS = 1.0


def leads_first(led: Sequence[LedPartition]) -> bool:
    """Tell whether a type's first partition is among those: who leads it does what one worker does for all."""
    return bool(first_led(led))


def first_led(led: Sequence[LedPartition]) -> set[str]:
    """Return the types of which the first partition is among those."""
    return {one.partition.type for one in led if one.partition.index == 0 and not one.released.is_set()}


class Leaderships:
    """The partitions that this worker leads, and the loop that keeps them a fair share."""

    def __init__(
        self,
        coordinator: Coordinator,
        keeper: Keeper,
        types: Sequence[str],
        layouts: Layouts,
        start: Callable[[Partition, Lease], LedPartition],
        on_dismissal: Callable[[], None],
        *,
        clock: Clock,
        rng: random.Random,
        telemetry: Telemetry,
    ) -> None:
        # One partition can be here twice: taken back, while a job from before the hand-over still runs.
        self.led: list[LedPartition] = []
        self._coordinator = coordinator
        self._keeper = keeper
        self._owner = keeper.owner
        self._types = tuple(types)
        self._layouts = layouts
        self._start = start
        self._on_dismissal = on_dismissal
        self._clock = clock
        self._rng = rng
        self._telemetry = telemetry
        self._members: Sequence[Member] = ()
        self._looking = anyio.CancelScope()
        self._waiting = anyio.CancelScope()
        self._ended = False
        self.latency = NEAR_SECONDS
        self._compares_until: float | None = None
        # Something changed since the last look, and no wait is to keep that waiting.
        self._stirred = False

    async def run(self, running: TaskGroup) -> None:
        """Balance until `end` is called; the partitions taken run in `running`."""
        with self._looking:
            while True:
                try:
                    await self._compare()
                    # Looked at before the members: who leaves says so before it releases, so either it is no longer
                    # counted below, or what it is going to release is seen here and the wait ends when that happens.
                    seen = await self._coordinator.leases("leader/")
                    satisfied = await self._balance({lease.resource for lease in seen}, running)
                    await self._wait(satisfied, seen)
                except Unavailable as error:
                    self._telemetry.connection_lost(error.plane, "sharing partitions", error)
                    await self._clock.sleep(_LOOK_SECONDS * (0.5 + self._rng.random()))

    async def moved(self, latency: float) -> None:
        """Tell the others of another latency of this worker's, in seconds, and soon balance by it."""
        self.latency = latency
        if self._compares_until is None:
            self._compares_until = self._clock.now() + LOOK_SECONDS + min(latency, _LONGEST_TRIP_SECONDS)
        self.stir()
        try:
            await self._heartbeat()
        except Unavailable as error:
            self._telemetry.connection_lost(error.plane, "telling of a latency", error)

    def stir(self) -> None:
        """Balance soon: something has changed that nobody waits for."""
        self._stirred = True
        self._waiting.cancel()

    async def _compare(self) -> None:
        """Where this worker has moved, hear what the others say by now, and hand over at once what is theirs to lead.

        This comes before the look for free partitions: to who is far away that is a round trip more, for which the jobs
        of all that it hands over would wait.
        """
        if self._compares_until is None:
            return
        await self._clock.sleep(max(0.0, self._compares_until - self._clock.now()))
        members = await self._heartbeat()
        self._compares_until = None
        for type in self._types:
            self._hand_over_surplus(type, members)

    def end(self) -> None:
        """Take no more partitions."""
        self._ended = True
        self._looking.cancel()

    def hand_over(self) -> None:
        """Hand over what is led. Others take it if they no longer count this worker."""
        for led in self._leading():
            led.drain()

    def sweeps(self, partition: Partition) -> bool:
        """Tell whether this worker is the one to publish what was left behind for a partition.

        That is its leader; for a type that nobody serves, any one worker that all agree on. A hint: two may think so
        for a moment.
        """
        if any(partition.type in member.types for member in self._members):
            return any(led.partition == partition.whole for led in self._leading())
        owners = [member.owner for member in self._members]
        first = min(owners, key=lambda owner: rank(str(partition), owner), default="")
        return first == self._owner

    def _leading(self) -> list[LedPartition]:
        return [led for led in self.led if not led.released.is_set()]

    async def _balance(self, held: Collection[str], running: TaskGroup) -> bool:
        """Heartbeat, release surplus partitions and claim missing ones; return whether that was all there is to do."""
        members = await self._heartbeat()
        if self._compares_until is not None:
            return False
        satisfied = True
        for type in self._types:
            missing = self._hand_over_surplus(type, members)
            assigned = assignments(members, type, self._layouts.of(type).led)
            if missing > 0 or self._owner in assigned.values():
                satisfied &= await self._take(type, missing, assigned, held, running)
        return satisfied

    def _hand_over_surplus(self, type: str, members: Sequence[Member]) -> int:
        """Hand over what is more than this worker's share of a type; return how many it leads too few."""
        layout = self._layouts.of(type)
        assigned = assignments(members, type, layout.led)
        share = share_with(assigned, self._owner, members, type, layout.led)
        leading = [led for led in self._leading() if led.partition.type == type]
        keeping = []
        for led in [led for led in leading if not led.draining]:
            if led.layout.version != layout.version or led.partition.index >= layout.led:
                # Taken again, by whoever may, it is led as it has to be now.
                self._telemetry.handed_over(str(led.partition), "another number of partitions")
                led.drain()
            elif assigned.get(led.partition.index, self._owner) != self._owner:
                self._telemetry.handed_over(str(led.partition), "assigned to another worker")
                led.drain()
            else:
                keeping.append(led)
        # Idle ones first: handing them over disturbs nobody.
        keeping.sort(key=lambda led: (led.partition.index in assigned, led.busy))
        for led in keeping[: max(0, len(keeping) - share)]:
            self._telemetry.handed_over(str(led.partition), "another worker's share")
            led.drain()
        return share - len(leading)

    async def _heartbeat(self) -> Sequence[Member]:
        me = Member(self._owner, self._types, self.latency)
        self._members = await self._coordinator.heartbeat(me, ttl=self._keeper.terms.ttl)
        self._keeper.heard()
        if any(member.dismissed and member.owner == self._owner for member in self._members):
            self._on_dismissal()
        return self._members

    async def _take(
        self, type: str, missing: int, assigned: Mapping[int, str], held: Collection[str], running: TaskGroup
    ) -> bool:
        """Claim partitions that are not `held`: those assigned to this worker, and others until none is `missing`.

        Return whether it leads as many as it is to.
        """
        free = [
            partition
            for partition in (Partition(type, index) for index in range(self._layouts.of(type).led))
            if partition.resource not in held and assigned.get(partition.index, self._owner) == self._owner
        ]
        # In random order, so that workers that start together seldom ask for the same one.
        self._rng.shuffle(free)
        for partition in sorted(free, key=lambda partition: partition.index not in assigned):
            if missing <= 0 and partition.index not in assigned:
                break
            lease = await self._keeper.claim(partition.resource)
            if isinstance(lease, Lease):
                self._telemetry.elected(str(partition), type, lease.ref.token)
                self._begin(partition, lease, running)
                missing -= 1
        return missing == 0

    def _begin(self, partition: Partition, lease: Lease, running: TaskGroup) -> None:
        led = self._start(partition, lease)
        self.led.append(led)
        running.start_soon(self._run, led)
        if self._ended:
            led.drain()

    async def _run(self, led: LedPartition) -> None:
        try:
            await led.run()
        except Exception as error:
            if _is_wrong_setting(error):
                # Leading it once more would fail as well, at once and for ever: this ends the worker.
                raise
            # A defect in one partition must not end the others.
            self._telemetry.crashed(f"leading {led.partition}", error)
        finally:
            self.led.remove(led)

    async def _wait(self, satisfied: bool, seen: Collection[LeaseInfo]) -> None:
        # With jitter, or workers that started together would all look in the same instant for ever.
        jitter = 0.8 + 0.2 * self._rng.random()
        # Who has its share listens, too: what a leaving worker hands over is to be taken at once.
        patience = self._keeper.terms.renew_every if satisfied else _LOOK_SECONDS
        await self._clock.sleep(_SETTLE_SECONDS)
        stirred, self._stirred = self._stirred, False
        if stirred:
            return
        with anyio.CancelScope() as self._waiting:
            await self._coordinator.wait_change("leader/", patience * jitter, since=seen)


def _is_wrong_setting(error: BaseException) -> bool:
    """Return whether an error, or one in its group, is a wrong setting, which only a person can fix."""
    group = error if isinstance(error, BaseExceptionGroup) else BaseExceptionGroup("", [error])
    return group.subgroup(ConfigurationError) is not None
