"""Second stage: the lane. Jobs of one key run one after another; lanes of different keys run side by side.

A lane keeps its first job until that is settled: trouble with a backend, a retry of an ordered job and somebody
else's lease all make the lane wait, so nothing overtakes. A job ahead of its sequence is held here for a bounded
time while the missing one may still come, then parked in the store.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import anyio

from jobkit.clock import Clock
from jobkit.errors import ConsumerClosed, Unavailable
from jobkit.fence import Receipt
from jobkit.runner.job import Job, Malformed
from jobkit.runner.pipeline import Ahead, Pipeline, Settled, TryAgain
from jobkit.runner.tracing import step_span
from jobkit.runner.wakeup import Wakeup
from jobkit.telemetry import Telemetry

# A held job looks again this often: the gap may close in another process, of which no message tells this lane.
_GAP_POLL_SECONDS = 1.0
# Trouble with a backend is met with a wait that doubles from the first to the second figure.
_TROUBLE_SECONDS = (0.1, 5.0)


@dataclass(frozen=True, slots=True)
class GapBounds:
    """How long, in seconds, and how many jobs of a key wait in memory for a missing sequence."""

    hold: float
    limit: int


@dataclass(frozen=True, slots=True)
class LaneTools:
    """What all lanes of a worker share."""

    pipeline: Pipeline
    bounds: GapBounds
    clock: Clock
    entropy: random.Random
    telemetry: Telemetry


class Lane:
    """The jobs of one key that are here, and the task that works on them one by one.

    `done` is called with each wake-up that leaves the lane, settled or dropped. `doubt` is called where it is unknown
    whether the broker heard what became of a delivery.
    """

    def __init__(self, tools: LaneTools, done: Callable[[Wakeup], None], doubt: Callable[[], None]) -> None:
        self.waiting: deque[Wakeup] = deque()
        self.current: Wakeup | None = None
        self.working = False
        self.stopping = False
        self.scope = anyio.CancelScope()
        self._tools = tools
        self._done = done
        self._doubt = doubt
        # Set with the next arrival, where this lane waits for one.
        self._arrived: anyio.Event | None = None
        # The sequence that the key is known to wait for: a hint, learnt from the store's last answer.
        self._expected: int | None = None

    def put(self, wakeup: Wakeup) -> None:
        """Add a wake-up behind those that wait."""
        self.waiting.append(wakeup)
        if self._arrived is not None:
            self._arrived.set()

    def drop(self, wakeup: Wakeup) -> None:
        """Let go of a wake-up that is not being worked on; the broker or the in-flight table still has the job."""
        if wakeup is not self.current:
            self.waiting.remove(wakeup)
            self._done(wakeup)

    async def run(self) -> None:
        """Work until nothing waits, or until told to stop after the current job."""
        with self.scope:
            trouble = _TROUBLE_SECONDS[0]
            while self.waiting and not self.stopping:
                self.current = self._choose()
                try:
                    await self._take(self.current)
                    trouble = _TROUBLE_SECONDS[0]
                except Unavailable as error:
                    # Doubt means another look: the wake-up stays, and the store will tell how far it had come.
                    self._tools.telemetry.connection_lost(error.plane, "working on a job", error)
                    self.working = False
                    await self._sleep(trouble)
                    trouble = min(2 * trouble, _TROUBLE_SECONDS[1])
                except Exception as error:  # noqa: BLE001  (a defect met by one key must not end the others)
                    self._tools.telemetry.crashed("working on a job", error)
                    self.working = False
                    await self._sleep(_TROUBLE_SECONDS[1])
                finally:
                    self.current = None
                    self.working = False

    def _choose(self) -> Wakeup:
        """Return the first that waits, or the lowest sequence while the first is known to be ahead of its own."""
        first = self.waiting[0]
        if self._expected is None or _sequence(first) <= self._expected:
            return first
        return min(self.waiting, key=_sequence)

    async def _take(self, wakeup: Wakeup) -> None:
        job = wakeup.job
        if isinstance(job, Malformed):
            settled = await self._tools.pipeline.bury_message(job)
            await self._settle(wakeup, settled.receipt)
            return
        match await self._tools.pipeline.run(job, self._set_working):
            case Settled(receipt):
                await self._settle(wakeup, receipt)
                if job.sequence is not None and self._expected is not None:
                    self._expected = max(self._expected, job.sequence + 1)
            case Ahead(expected, blocked):
                self._expected = expected
                await self._hold(wakeup, job, expected, blocked)
            case TryAgain(seconds, requeue):
                self.working = False
                if not (requeue and await self._requeue(wakeup, seconds)):
                    await self._sleep(seconds)

    def _set_working(self, working: bool) -> None:
        self.working = working

    async def _hold(self, wakeup: Wakeup, job: Job, expected: int, blocked: bool) -> None:
        """Wait a while for what is missing, or park the job where that is over."""
        now = self._tools.clock.now()
        if wakeup.held_since is None:
            wakeup.held_since = now
            self._tools.telemetry.gap(job.envelope.type, job.key, job.sequence, expected, "held")
        left = wakeup.held_since + self._tools.bounds.hold - now
        if blocked or left <= 0 or len(self.waiting) > self._tools.bounds.limit:
            settled = await self._tools.pipeline.park(job, expected)
            await self._settle(wakeup, settled.receipt)
            return
        self.working = False
        self._arrived = arrived = anyio.Event()
        async with anyio.create_task_group() as waits:

            async def arrival() -> None:
                await arrived.wait()
                waits.cancel_scope.cancel()

            waits.start_soon(arrival)
            await self._sleep(min(left, _GAP_POLL_SECONDS))
            waits.cancel_scope.cancel()

    async def _settle(self, wakeup: Wakeup, receipt: Receipt) -> None:
        """Ack; an ack that fails is the broker's to make good by delivering again, when the store answers Duplicate."""
        self._leave(wakeup)
        try:
            await self._ack(wakeup, receipt)
        except (ConsumerClosed, Unavailable) as error:
            self._unheard(f"acking job {receipt.job_id}", error)

    async def _ack(self, wakeup: Wakeup, receipt: Receipt) -> None:
        if isinstance(wakeup.job, Job):
            with step_span(self._tools.telemetry, "ack", wakeup.job):
                await wakeup.settle(receipt)
        else:
            await wakeup.settle(receipt)

    async def _requeue(self, wakeup: Wakeup, seconds: float) -> bool:
        try:
            given_back = await wakeup.requeue(seconds)
        except (ConsumerClosed, Unavailable) as error:
            self._unheard("delaying a job", error)
            given_back = True
        if given_back:
            self._leave(wakeup)
        return given_back

    def _unheard(self, doing: str, error: ConsumerClosed | Unavailable) -> None:
        self._tools.telemetry.connection_lost("broker", doing, error)
        if isinstance(error, Unavailable):
            # A closed consumer's messages come again by themselves, those of one that lives do not.
            self._doubt()

    def _leave(self, wakeup: Wakeup) -> None:
        self.waiting.remove(wakeup)
        self._done(wakeup)

    async def _sleep(self, seconds: float) -> None:
        # Between 0.8 and 1 of what was asked: lanes that met the same trouble do not come back together.
        await self._tools.clock.sleep(seconds * (0.8 + 0.2 * self._tools.entropy.random()))


def _sequence(wakeup: Wakeup) -> int:
    """Return a wake-up's sequence; what has none is never ahead of anything."""
    sequence = wakeup.job.sequence if isinstance(wakeup.job, Job) else None
    return 0 if sequence is None else sequence
