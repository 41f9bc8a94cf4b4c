"""Moving jobs in hand to the in-flight table, so that they hold up no delivery, no hand-over and no other job.

What runs goes on under its lease. What waits is taken up from the table again, in order (`adoption.py`).
"""

from __future__ import annotations

from jobkit.errors import ConsumerClosed, Unavailable
from jobkit.model.clock import Clock
from jobkit.model.partition import Partition
from jobkit.model.plane import Plane
from jobkit.ports.store import Store
from jobkit.runner.in_hand import InHand
from jobkit.runner.lane import Lane
from jobkit.runner.limit_backlog import LimitBacklog
from jobkit.runner.pending_delivery import PendingDelivery
from jobkit.runner.shelved_keys import InflightKeys
from jobkit.telemetry import Telemetry

# How soon it is tried again to move what has to be moved, in seconds.
_TRY_AGAIN_SECONDS = 0.5
# What has held its delivery for too long is looked for so many times in that time.
_LOOKS_IN_HOLD = 10


class Shelving:
    """Shelves what is in hand of one partition: one job, a key's, or what waits for a limit behind others."""

    def __init__(
        self,
        partition: Partition,
        store: Store,
        in_hand: InHand,
        inflight: InflightKeys,
        backlog: LimitBacklog,
        clock: Clock,
        telemetry: Telemetry,
    ) -> None:
        self._partition = partition
        self._store = store
        self._in_hand = in_hand
        self._inflight = inflight
        self._backlog = backlog
        self._clock = clock
        self._telemetry = telemetry

    async def shelve(self, pending: PendingDelivery) -> bool:
        """Shelve a job, or tell of what went wrong; return whether it is shelved."""
        try:
            await pending.shelve(self._store, self._partition)
        except (ConsumerClosed, Unavailable) as error:
            # The delivery is still owed, or comes again; either way the job is not lost.
            plane = error.plane if isinstance(error, Unavailable) else Plane.BROKER
            self._telemetry.connection_lost(plane, f"shelving a job of {self._partition}", error)
            if plane == Plane.BROKER:
                self._in_hand.on_ack_unknown()
            return False
        self._in_hand.shelved(pending)
        return True

    async def shelve_old_forever(self, hold: float) -> None:
        """Shelve what has held its delivery for `hold` seconds, until cancelled."""
        while True:
            await self._clock.sleep(hold / _LOOKS_IN_HOLD)
            oldest = self._clock.now() - hold
            for pending in [held for held in self._in_hand if held.holds_delivery and held.arrived <= oldest]:
                await self.shelve(pending)

    async def set_aside(self, key: str, lane: Lane) -> None:
        """Shelve all of a key, and keep in hand only what is being worked on."""
        async with self._inflight.ordering:
            if not await self._shelve_all(key):
                return
            lane.drop_waiting()
            if not lane.working and len(self._in_hand) > self._in_hand.most:
                lane.scope.cancel()

    async def thin_out(self) -> bool:
        """Shelve what waits for a limit behind enough others, and its key's; return whether there was any."""
        moved = False
        async with self._inflight.ordering:
            for limit, pending in self._backlog.crowd(self._in_hand):
                key = pending.lane
                lane = self._in_hand.lanes.get(key)
                if lane is None or lane.current is not pending or lane.working:
                    continue
                if not await self._shelve_all(key):
                    return moved
                if lane.current is pending and not lane.working:
                    self._backlog.add(limit, key)
                    lane.scope.cancel()
                    moved = True
        return moved

    async def move_aside(self, key: str) -> None:
        """Begin nothing more of a key, and shelve its jobs in hand, in their order."""
        if key in self._in_hand.moving:
            return
        self._in_hand.moving.add(key)
        self._inflight.keys.add(key)
        if (lane := self._in_hand.lanes.get(key)) is not None:
            lane.stop()
        try:
            # To its end, however often it has to be tried: what comes of the key meanwhile goes behind, resumed or not.
            async with self._inflight.ordering:
                while not await self._shelve_all(key, drop=True):
                    await self._clock.sleep(_TRY_AGAIN_SECONDS)
        finally:
            self._in_hand.moving.discard(key)

    async def _shelve_all(self, key: str, *, drop: bool = False) -> bool:
        """Shelve the key's jobs in hand in order, and drop each where asked; return whether that was all of them."""
        # What comes of the key meanwhile goes behind.
        self._inflight.keys.add(key)
        for pending in self._in_hand.of(key):
            if not await self.shelve(pending):
                return False
            if drop:
                self._in_hand.drop(pending)
        return True
