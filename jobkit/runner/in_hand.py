"""What has come to a led partition and is not settled, in the order it came, and the lanes that work on it.

A job stays in hand until its lane lets go of it: settled, given back to the broker, or left to the in-flight table.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator

import anyio
from anyio.abc import TaskGroup

from jobkit.model.priority import Priority
from jobkit.runner.lane import Lane, LaneTools
from jobkit.runner.pending_delivery import PendingDelivery

# In memory there are so many times the prefetch at most, with what is adopted.
_MOST_IN_HAND = 3


class InHand:
    """The jobs in hand, each in the lane of its key; the lanes run in `jobs`.

    `lane_ended` is awaited with each key and lane that has come to its end. `on_ack_unknown` is called where it is
    unknown whether the broker heard what became of a delivery.
    """

    def __init__(
        self,
        tools: LaneTools,
        jobs: TaskGroup,
        prefetch: int,
        *,
        lane_ended: Callable[[str, Lane], Awaitable[None]],
        on_ack_unknown: Callable[[], None],
    ) -> None:
        self.lanes: dict[str, Lane] = {}
        # How many jobs may be in hand before nothing more is adopted.
        self.most = _MOST_IN_HAND * prefetch
        # How many have been let go of.
        self.settled = 0
        # Set when one more is let go of, and then replaced by whoever waits for the next.
        self._room = anyio.Event()
        # Keys whose jobs in hand are being moved to the in-flight table: those jobs outlive their lane.
        self.moving: set[str] = set()
        self._tools = tools
        self._jobs = jobs
        self._lane_ended = lane_ended
        self.on_ack_unknown = on_ack_unknown
        # In the order they came: what is shelved of a key is adopted in that order.
        self._unsettled: dict[PendingDelivery, None] = {}
        # Those of them that were adopted or shelved.
        self._without_delivery: set[PendingDelivery] = set()
        # Lanes that no task has taken up yet, and how many tasks have none; None where none will begin any more.
        self._begun: asyncio.Queue[tuple[str, Lane] | None] = asyncio.Queue()
        self._idle_runners = 0
        self._one_lane_less = anyio.Event()

    def __len__(self) -> int:
        return len(self._unsettled)

    def __iter__(self) -> Iterator[PendingDelivery]:
        return iter(self._unsettled)

    @property
    def deliveries(self) -> int:
        """How many hold a delivery."""
        return len(self._unsettled) - len(self._without_delivery)

    def deliveries_of(self, priority: Priority) -> int:
        """Return how many of that priority hold a delivery."""
        held = (pending for pending in self._unsettled if pending not in self._without_delivery)
        return sum(pending.priority is priority for pending in held)

    @property
    def running(self) -> int:
        """How many are being worked on."""
        return sum(lane.working for lane in self.lanes.values())

    @property
    def ids(self) -> frozenset[str]:
        """The ids of the jobs, as far as they could be read."""
        envelopes = (pending.job.envelope for pending in self._unsettled)
        return frozenset(envelope.id for envelope in envelopes if envelope is not None)

    def of(self, key: str) -> list[PendingDelivery]:
        """Return those that are in the lane of a key, or outlive it, in order."""
        return [held for held in self._unsettled if held.lane == key]

    def longest_wait(self) -> float:
        """Return for how many seconds the first job has waited that is not being worked on, 0 without one.

        Counted from its submission where that is known, on the wall clocks of two machines.
        """
        worked_on = {lane.current for lane in self.lanes.values() if lane.working}
        first = next((held for held in self._unsettled if held not in worked_on), None)
        if first is None:
            return 0.0
        waited = self._tools.clock.now() - first.arrived
        submitted = first.job.envelope.submitted_at if first.job.envelope is not None else 0.0
        return max(waited, self._tools.clock.wall() - submitted) if submitted > 0 else waited

    def put(self, pending: PendingDelivery) -> None:
        """Put a job into the lane of its key, which begins where there is none."""
        # What is malformed has a lane of its own: one that the store cannot take holds up no other.
        key = pending.lane
        self._unsettled[pending] = None
        if not pending.holds_delivery:
            self._without_delivery.add(pending)
        lane = self.lanes.get(key)
        if lane is None:
            lane = self.lanes[key] = Lane(self._tools, self.let_go, self.on_ack_unknown)
            self._begun.put_nowait((key, lane))
            if self._begun.qsize() > self._idle_runners:
                self._jobs.start_soon(self._run_lanes)
        lane.put(pending)

    def next_room(self) -> anyio.Event:
        """Return what is set when one more is let go of. Any number may wait for it."""
        if self._room.is_set():
            self._room = anyio.Event()
        return self._room

    def shelved(self, pending: PendingDelivery) -> None:
        """Note that a job holds its delivery no longer, unless it was let go of meanwhile."""
        if not pending.holds_delivery and pending in self._unsettled:
            self._without_delivery.add(pending)

    def let_go(self, pending: PendingDelivery) -> None:
        """Forget a job that has left its lane."""
        self._unsettled.pop(pending, None)
        self._without_delivery.discard(pending)
        self.settled += 1
        self._room.set()

    def drop(self, pending: PendingDelivery) -> None:
        """Let go of a job that is not being worked on; the broker or the in-flight table still has it."""
        lane = self.lanes.get(pending.lane)
        if lane is not None and pending in lane.waiting:
            lane.drop(pending)
        else:
            self.let_go(pending)

    def drop_deliveries(self) -> None:
        """Drop what waits and belongs to a consumer that is gone: it will be delivered again."""
        for pending in [held for held in self._unsettled if held.holds_delivery]:
            self.drop(pending)

    async def stop_lanes(self) -> None:
        """Have no lane begin anything more, and return when all have ended."""
        for lane in list(self.lanes.values()):
            lane.stop()
        while self.lanes:
            self._one_lane_less = anyio.Event()
            await self._one_lane_less.wait()

    def end(self) -> None:
        """Have the tasks that run lanes end when theirs have: no other will begin."""
        self._begun.put_nowait(None)

    async def _run_lanes(self) -> None:
        """Run one lane after another: to start a task for each would cost as much as some jobs do."""
        while True:
            self._idle_runners += 1
            begun = await self._begun.get()
            self._idle_runners -= 1
            if begun is None:
                # No lane will begin any more: tell the next one too.
                self._begun.put_nowait(None)
                return
            await self._run_lane(*begun)

    async def _run_lane(self, key: str, lane: Lane) -> None:
        try:
            await lane.run()
        finally:
            del self.lanes[key]
            for pending in list(lane.waiting):
                if not (key in self.moving and pending.holds_delivery):
                    self.let_go(pending)
            self._one_lane_less.set()
        await self._lane_ended(key, lane)
