"""How many deliveries a led partition may hold, and how room is made where those it holds keep all others waiting."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress

from jobkit.model.clock import Clock
from jobkit.model.priority import Priority
from jobkit.runner.decode import Malformed, Unknown
from jobkit.runner.in_hand import InHand
from jobkit.runner.limit_backlog import LimitBacklog
from jobkit.runner.pending_delivery import PendingDelivery
from jobkit.runner.pipeline import Pipeline
from jobkit.runner.to_in_flight import Shelving

# A prefetch that was full for so long, with idle slots, and in which less than such a share has ended, is made room in.
_STUCK_SECONDS = 1.0
_STUCK_SHARE = 0.1
# Where jobs may wait for limits with keys, a full prefetch is looked through so often.
_CROWDED_SECONDS = 0.1


class Prefetch:
    """`count` deliveries may be in hand at once; of the jobs of one `priority`, where the partition has bands."""

    def __init__(
        self,
        count: int,
        in_hand: InHand,
        backlog: LimitBacklog,
        shelving: Shelving,
        pipeline: Pipeline,
        clock: Clock,
        *,
        priority: Priority | None = None,
    ) -> None:
        self._count = count
        self._priority = priority
        self._in_hand = in_hand
        self._backlog = backlog
        self._shelving = shelving
        self._pipeline = pipeline
        self._clock = clock
        # Since when it has been full, and how many jobs had ended by then.
        self._full_since: tuple[float, int] | None = None

    @property
    def free(self) -> int:
        """How many more deliveries may be held."""
        held = self._in_hand.deliveries if self._priority is None else self._in_hand.deliveries_of(self._priority)
        return self._count - held

    def all_came(self) -> None:
        """Note that nobody waits in the queue."""
        self._full_since = None

    async def wait_for_room(self) -> None:
        """Return once a delivery was settled, or one key's were set aside because they kept all others waiting."""
        now = self._clock.now()
        if self._full_since is None:
            self._full_since = (now, self._in_hand.settled)
        since, settled = self._full_since
        room = self._in_hand.next_room()
        patience = max(0.0, since + _STUCK_SECONDS - now)
        looks_sooner = self._backlog.possible and patience > _CROWDED_SECONDS
        with suppress(TimeoutError):
            # At a third of the time that a cancel scope takes; nearly each job goes through this.
            async with asyncio.timeout(_CROWDED_SECONDS if looks_sooner else patience):
                await room.wait()
            return
        if self._backlog.possible and (await self._shelving.thin_out() or looks_sooner):
            return
        stuck = self._in_hand.settled - settled <= _STUCK_SHARE * self._count
        self._full_since = None
        if stuck and self._pipeline.idle:
            await self._set_one_aside()

    async def _set_one_aside(self) -> None:
        """Move the deliveries of the key that holds most of them to the in-flight table, all in their order."""
        held = Counter(pending.lane for pending in self._in_hand if pending.holds_delivery)
        waiting = self._pipeline.limit_lines.ids
        for key, number in held.most_common():
            lane = self._in_hand.lanes.get(key)
            if lane is not None and lane.current is not None and _id(lane.current) in waiting:
                # Others of the type would wait for it as well.
                continue
            if lane is None or isinstance(lane.waiting[0].job if lane.waiting else None, Malformed | Unknown):
                continue
            if number > 1 or not lane.working:
                await self._shelving.set_aside(key, lane)
                return


def _id(pending: PendingDelivery) -> str | None:
    """Return the id of a wake-up's job, as far as it could be read."""
    return None if pending.job.envelope is None else pending.job.envelope.id
