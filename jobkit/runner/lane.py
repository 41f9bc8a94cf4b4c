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

from jobkit.errors import ConsumerClosed, Unavailable
from jobkit.model.clock import Clock
from jobkit.model.fence import Receipt
from jobkit.model.limit import Limit
from jobkit.model.plane import Plane
from jobkit.runner.decode import Job, Malformed, Unknown
from jobkit.runner.gap_hold import GapBounds
from jobkit.runner.outcome import Ahead, KeyLease, Outbid, Settled, TryAgain
from jobkit.runner.pending_delivery import PendingDelivery
from jobkit.runner.pipeline import Pipeline
from jobkit.runner.tracing import step_span
from jobkit.telemetry import Telemetry

# A held job looks again this often: the gap may close in another process, of which no message tells this lane.
_GAP_POLL_SECONDS = 1.0
# Trouble with a backend is met with a wait that doubles from the first to the second figure.
_TROUBLE_SECONDS = (0.1, 5.0)
# Who was outbid comes back after the first figure, four times as long each time, up to the second.
_OUTBID_SECONDS = (0.05, 60.0)


@dataclass(frozen=True, slots=True)
class LaneTools:
    """What all lanes of a worker share."""

    pipeline: Pipeline
    bounds: GapBounds
    clock: Clock
    rng: random.Random
    telemetry: Telemetry


class Lane:
    """The jobs of one key that are here, and the task that works on them one by one.

    `done` is called with each wake-up that leaves the lane, settled or dropped. `doubt` is called where it is unknown
    whether the broker heard what became of a delivery.
    """

    def __init__(
        self, tools: LaneTools, done: Callable[[PendingDelivery], None], on_ack_unknown: Callable[[], None]
    ) -> None:
        self.waiting: deque[PendingDelivery] = deque()
        self.current: PendingDelivery | None = None
        self.working = False
        self.stopping = False
        # What the latest job here needed.
        self.limits: tuple[Limit, ...] = ()
        self.scope = anyio.CancelScope()
        self._tools = tools
        self._key = KeyLease(self._following)
        self._done = done
        self._on_ack_unknown = on_ack_unknown
        # Set with the next arrival, where this lane waits for one.
        self._arrived: anyio.Event | None = None
        self._outbid_pause = _OUTBID_SECONDS[0]
        # The sequence that the key is known to wait for: a hint, learnt from the store's last answer.
        self._expected: int | None = None

    def put(self, pending: PendingDelivery) -> None:
        """Add a wake-up behind those that wait and are as urgent."""
        place = len(self.waiting)
        while place and self.waiting[place - 1].priority.rank > pending.priority.rank:
            place -= 1
        self.waiting.insert(place, pending)
        if self._arrived is not None:
            self._arrived.set()

    def drop(self, pending: PendingDelivery) -> None:
        """Let go of a wake-up that is not being worked on; the broker or the in-flight table still has the job."""
        if pending is not self.current:
            self.waiting.remove(pending)
            self._done(pending)

    def drop_waiting(self) -> None:
        """Let go of all wake-ups but the one that is being worked on."""
        for pending in list(self.waiting):
            self.drop(pending)

    def stop(self) -> None:
        """Begin nothing more: the lane ends with the attempt that runs, or at once."""
        self.stopping = True
        if not self.working:
            self.scope.cancel()

    async def run(self) -> None:
        """Work until nothing waits, or until told to stop after the current job."""
        try:
            with self.scope:
                while self.waiting and not self.stopping:
                    await self._work()
                    # The last job is acked by now, and holds no slot: only this lane waits. More may come meanwhile.
                    await self._tools.pipeline.let_go(self._key)
        finally:
            await self._tools.pipeline.let_go(self._key)

    async def _work(self) -> None:
        trouble = _TROUBLE_SECONDS[0]
        while self.waiting and not self.stopping:
            self.current = self._choose()
            try:
                await self._take(self.current)
                trouble = _TROUBLE_SECONDS[0]
            except Unavailable as error:
                # Doubt means another look: the delivery stays, and the store will tell how far it had come.
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

    def _choose(self) -> PendingDelivery:
        """Return the first that waits, or the lowest sequence while the first is known to be ahead of its own."""
        first = self.waiting[0]
        if self._expected is None or _sequence(first) <= self._expected:
            return first
        return min(self.waiting, key=_sequence)

    def _following(self) -> Job | None:
        """Return the job that comes after the current one by its sequence, if it waits here as the next."""
        if self.stopping or len(self.waiting) < 2 or self.waiting[0] is not self.current:
            return None
        current, next = self.waiting[0].job, self.waiting[1].job
        if not isinstance(current, Job) or not isinstance(next, Job) or next.limits:
            return None
        in_order = current.sequence is not None and next.sequence == current.sequence + 1
        return next if in_order else None

    async def _take(self, pending: PendingDelivery) -> None:
        job = pending.job
        if isinstance(job, Malformed):
            settled = await self._tools.pipeline.settlement.bury_message(job)
            await self._settle(pending, settled.receipt)
            return
        if isinstance(job, Unknown):
            settled = await self._tools.pipeline.settlement.hold(job)
            await self._settle(pending, settled.receipt)
            return
        self.limits = job.limits
        match await self._tools.pipeline.run(job, self._set_working, self._key):
            case Settled(receipt):
                self._outbid_pause = _OUTBID_SECONDS[0]
                await self._settle(pending, receipt)
                if job.sequence is not None and self._expected is not None:
                    self._expected = max(self._expected, job.sequence + 1)
            case Ahead(expected, blocked):
                self._expected = expected
                await self._hold(pending, job, expected, blocked)
            case TryAgain(seconds, requeue):
                self.working = False
                if not (requeue and await self._requeue(pending, seconds)):
                    # No sooner, or it would be in vain.
                    await self._tools.clock.sleep(seconds)
            case Outbid():
                self.working = False
                pause = self._outbid_pause
                self._outbid_pause = min(4 * pause, _OUTBID_SECONDS[1])
                await self._sleep(pause)

    def _set_working(self, working: bool) -> None:
        self.working = working
        if self.stopping and not working:
            # Its attempt is over, and what it waits for now is to be no other: whoever has the job next begins that.
            self.scope.cancel()

    async def _hold(self, pending: PendingDelivery, job: Job, expected: int, blocked: bool) -> None:
        """Wait a while for what is missing, or park the job where that is over."""
        now = self._tools.clock.now()
        if pending.held_since is None:
            pending.held_since = now
            self._tools.telemetry.gap(job.envelope.type, job.key, job.sequence, expected, "held")
        left = self._tools.bounds.left(now - pending.held_since, len(self.waiting))
        if blocked or left <= 0:
            settled = await self._tools.pipeline.settlement.park(job, expected)
            await self._settle(pending, settled.receipt)
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

    async def _settle(self, pending: PendingDelivery, receipt: Receipt) -> None:
        """Ack; an ack that fails is the broker's to make good by delivering again, when the store answers Duplicate."""
        self._leave(pending)
        try:
            await self._ack(pending, receipt)
        except (ConsumerClosed, Unavailable) as error:
            self._unheard(f"acking job {receipt.job_id}", error)

    async def _ack(self, pending: PendingDelivery, receipt: Receipt) -> None:
        if isinstance(pending.job, Job):
            with step_span(self._tools.telemetry, "ack", pending.job):
                await pending.settle(receipt)
        else:
            await pending.settle(receipt)

    async def _requeue(self, pending: PendingDelivery, seconds: float) -> bool:
        try:
            given_back = await pending.requeue(seconds)
        except (ConsumerClosed, Unavailable) as error:
            self._unheard("delaying a job", error)
            given_back = True
        if given_back:
            self._leave(pending)
        return given_back

    def _unheard(self, doing: str, error: ConsumerClosed | Unavailable) -> None:
        self._tools.telemetry.connection_lost(Plane.BROKER, doing, error)
        if isinstance(error, Unavailable):
            # A closed consumer's messages come again by themselves, those of one that lives do not.
            self._on_ack_unknown()

    def _leave(self, pending: PendingDelivery) -> None:
        self.waiting.remove(pending)
        self._done(pending)

    async def _sleep(self, seconds: float) -> None:
        # Between 0.8 and 1 of what was asked: lanes that met the same trouble do not come back together.
        await self._tools.clock.sleep(seconds * (0.8 + 0.2 * self._tools.rng.random()))


def _sequence(pending: PendingDelivery) -> int:
    """Return a wake-up's sequence; what has none is never ahead of anything."""
    sequence = pending.job.sequence if isinstance(pending.job, Job) else None
    return 0 if sequence is None else sequence
