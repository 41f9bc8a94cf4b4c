"""Taking jobs of a led partition from its in-flight table: what a worker that is gone has left, and what was set aside.

Of a key the jobs in the table come first. So what is delivered of one that has jobs there which are not in hand goes
behind them, into the table, and its lane takes the next ones from there, a few at a time.
"""

from __future__ import annotations

from collections.abc import Collection

import anyio

from jobkit.errors import Unavailable
from jobkit.model.clock import Clock
from jobkit.model.layout import Layout
from jobkit.model.partition import Partition
from jobkit.ports.planes import Planes
from jobkit.runner.in_hand import InHand
from jobkit.runner.limit_backlog import LimitBacklog
from jobkit.runner.misplaced import move_shelved
from jobkit.runner.pauses import Rest
from jobkit.runner.pending_delivery import PendingDelivery
from jobkit.runner.shelved_keys import InflightKeys
from jobkit.runner.to_in_flight import Shelving
from jobkit.telemetry import Telemetry

# A look that failed is repeated so soon before anything is consumed, and so is an attempt to put a job behind others.
_LOOK_AGAIN_SECONDS = 0.5


class Adoption:
    """Puts in hand what the in-flight table has of one partition.

    `surveyed` is set once it is known which keys have jobs there: before that nothing is to be consumed.
    """

    def __init__(
        self,
        partition: Partition,
        layout: Layout,
        planes: Planes,
        in_hand: InHand,
        inflight: InflightKeys,
        backlog: LimitBacklog,
        shelving: Shelving,
        rest: Rest,
        clock: Clock,
        telemetry: Telemetry,
    ) -> None:
        self.surveyed = anyio.Event()
        self._look_now = anyio.Event()
        self._partition = partition
        self._layout = layout
        self._planes = planes
        self._in_hand = in_hand
        self._inflight = inflight
        self._backlog = backlog
        self._shelving = shelving
        self._rest = rest
        self._clock = clock
        self._telemetry = telemetry

    def look_now(self) -> None:
        """Have the next look at once."""
        self._look_now.set()

    def forget_survey(self) -> None:
        """Find out anew which keys have jobs in the table, before anything more is consumed."""
        self.surveyed = anyio.Event()

    async def adopt_forever(self, every: float) -> None:
        """Take over jobs whose deliveries are acked and whose workers may be gone: their leases will tell."""
        while True:
            self._look_now = anyio.Event()
            crowded = False
            try:
                await self._adopt()
                if self._backlog.possible:
                    crowded = await self._shelving.thin_out()
                    await self.top_up()
            except Unavailable as error:
                self._telemetry.connection_lost(error.plane, f"adopting jobs of {self._partition}", error)
            # Nothing is consumed before the first look.
            look_soon = crowded or self._layout.moving or not self.surveyed.is_set()
            with anyio.move_on_after(_LOOK_AGAIN_SECONDS if look_soon else every):
                await self._look_now.wait()

    async def go_on(self, key: str) -> None:
        """Take the next jobs of a key. Where that fails, it is adopted at the next look."""
        try:
            async with self._inflight.ordering:
                if key not in self._in_hand.lanes and not self._rest.holds(key):
                    await self._fetch(key)
        except Unavailable as error:
            self._telemetry.connection_lost(error.plane, f"adopting jobs of {self._partition}", error)

    async def top_up(self, buckets: Collection[str] | None = None) -> None:
        """Take up again what waits in the table for limits of which few wait in hand."""
        for key in self._backlog.take(self._in_hand, buckets):
            await self.go_on(key)

    async def put_behind(self, pending: PendingDelivery) -> None:
        """Take a delivery of a key that is paused or has jobs in the table: those come first."""
        key = pending.lane
        while True:
            try:
                async with self._inflight.ordering:
                    known = key in self._in_hand.lanes or key in self._backlog
                    if key in self._rest.paused_keys:
                        self._inflight.keys.add(key)
                    elif not known and len(self._in_hand) < self._in_hand.most:
                        await self._fetch(key)
                    if key in self._inflight.keys:
                        await pending.shelve(self._planes.store, self._partition)
                    else:
                        self._in_hand.put(pending)
                    return
            except Unavailable as error:
                self._telemetry.connection_lost(error.plane, f"shelving a job of {self._partition}", error)
                await self._clock.sleep(_LOOK_AGAIN_SECONDS)

    async def _adopt(self) -> None:
        """Take up the keys that have no lane here and that nobody holds a lease on."""
        if self._rest.paused:
            return
        surveyed = self.surveyed
        known = await self._inflight.all_keys()
        found = [key for key in known if self._layout.fits(self._partition, key)]
        if len(found) < len(known):
            # In their new partitions, too, they come before what is in the queue.
            await move_shelved(self._planes.store, self._layout, self._partition)
        self._backlog.retain(found)
        keys = [key for key in found if key not in self._in_hand.lanes and key not in self._backlog]
        self._inflight.keys.update(keys)
        surveyed.set()
        if not keys:
            return
        leases = await self._planes.coordinator.leases(f"{self._partition.type}/")
        leased = {lease.resource for lease in leases}
        for key in keys:
            if len(self._in_hand) >= self._in_hand.most:
                return
            if f"{self._partition.type}/{key}" not in leased and not self._rest.holds(key):
                await self.go_on(key)

    async def _fetch(self, key: str) -> None:
        """Put the first jobs of a key that has no lane here into one."""
        taken = await self._inflight.take(key)
        if self._rest.holds(key):
            # Paused meanwhile: they stay where they are.
            self._inflight.keys.add(key)
            return
        for job in taken:
            self._in_hand.put(PendingDelivery(job, arrived=self._clock.now()))
