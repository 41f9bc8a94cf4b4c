"""How far a worker is from the store and the coordinator, measured as it works: leadership goes by it.

Each of the two is asked something cheap twice a second, and where an answer takes longer, as soon as it is there: the
store, what is paused. Of the last few answers the quickest counts, so that neither a busy moment nor a connection made
anew is taken for a long way; a question that is not answered counts as one more answer every few seconds.
It is slow to believe that a way has become short again, so that links that come and go do not move partitions with
them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial

import anyio

from jobkit.errors import Unavailable
from jobkit.model.clock import Clock
from jobkit.ports.coordinator import Coordinator, LeaseRef

# Below this all are as near as can be, in seconds: no partition moves for the sake of a few milliseconds.
NEAR_SECONDS = 0.1
LOOK_SECONDS = 0.5
# So many looks, all of them far, have a worker called far; so many, all of them near, have it called near again.
_LOOKS_TO_RISE = 3
_LOOKS_TO_FALL = 30
# How long a question waits until it counts as an answer, and as another one each time that it has waited as long again:
# longer than making a connection takes, which is several round trips.
_UNANSWERED_SECONDS = 2.0
# Only a change by this factor is told.
_STEP = 2.0
# What somebody counts as who does not even answer, or refuses at once.
_AWAY_SECONDS = 1.0


class LatencyMonitor:
    """Keeps `latency`: the seconds of a round trip to the farther of the two. `on_change` is called with a new one."""

    def __init__(
        self,
        ask_store: Callable[[], Awaitable[object]],
        coordinator: Coordinator,
        owner: str,
        *,
        clock: Clock,
        on_change: Callable[[], Awaitable[None]],
    ) -> None:
        self.latency = NEAR_SECONDS
        self._clock = clock
        self._on_change = on_change
        self._answered = anyio.Event()
        # A lease that nobody has: looked up, and not found.
        nobodys = LeaseRef(f"reach/{owner}", 0, "")
        self._ways = (
            _Way(ask_store, self._on_answer, clock),
            _Way(partial(coordinator.release, nobodys), self._on_answer, clock),
        )

    async def run(self) -> None:
        """Measure until cancelled."""
        async with anyio.create_task_group() as asking:
            for way in self._ways:
                asking.start_soon(way.ask_forever)
            while True:
                self._answered = anyio.Event()
                await self._tell()
                # What has no answer counts for more and more.
                with anyio.move_on_after(LOOK_SECONDS):
                    await self._answered.wait()

    def _on_answer(self) -> None:
        self._answered.set()

    async def _tell(self) -> None:
        nearest = max(way.shortest for way in self._ways)
        farthest = max(NEAR_SECONDS, *(way.longest for way in self._ways))
        if nearest >= _STEP * self.latency:
            self.latency = nearest
        elif farthest <= self.latency / _STEP:
            self.latency = farthest
        else:
            return
        await self._on_change()


class _Way:
    """The round trips to one backend, one for each look; `on_answer` is called after each."""

    def __init__(self, ask: Callable[[], Awaitable[object]], on_answer: Callable[[], None], clock: Clock) -> None:
        self._ask = ask
        self._on_answer = on_answer
        self._clock = clock
        self._took: deque[float] = deque(maxlen=_LOOKS_TO_FALL)
        self._asked_at: float | None = None

    @property
    def shortest(self) -> float:
        """The quickest of the last few."""
        waits = self._waits
        latest = [*self._took, *[waits] * int(waits / _UNANSWERED_SECONDS)][-_LOOKS_TO_RISE:]
        return min(latest) if len(latest) == _LOOKS_TO_RISE else 0.0

    @property
    def longest(self) -> float:
        """The slowest of all that are remembered."""
        return max(self._waits, *self._took, 0.0)

    @property
    def _waits(self) -> float:
        """For how long the question that is asked now has had no answer."""
        return 0.0 if self._asked_at is None else self._clock.now() - self._asked_at

    async def ask_forever(self) -> None:
        """Ask again and again, one question after another, until cancelled."""
        while True:
            next_at = self._clock.now() + LOOK_SECONDS
            await self._measure()
            self._on_answer()
            # A way that is long now is known to be as soon as it can be: no answer waits for the next look.
            await self._clock.sleep(max(0.0, next_at - self._clock.now()))

    async def _measure(self) -> None:
        self._asked_at = self._clock.now()
        try:
            await self._ask()
        except Unavailable:
            # Whoever works with it tells of it.
            self._took.append(max(_AWAY_SECONDS, self._clock.now() - self._asked_at))
        else:
            self._took.append(self._clock.now() - self._asked_at)
        finally:
            self._asked_at = None
