"""What is written of a job once it is known how its attempt went, and what the store's answers mean.

Nothing here decides what becomes of a job, and nothing is written under a lease that is known to be lost; that the
store refuses what comes too late all the same is told here, for it is evidence of another worker.
"""

from __future__ import annotations

from datetime import timedelta

from jobkit.client.outbox_sweeper import Sweeper
from jobkit.errors import Unavailable
from jobkit.leases import Lease
from jobkit.model.clock import Clock
from jobkit.model.fence import Receipt
from jobkit.plugin.hooks import CancelledEvent, CommittedEvent, DeadEvent, FailedEvent
from jobkit.ports.planes import Planes
from jobkit.ports.store import Committed, Duplicate, Refused
from jobkit.runner.attempt import Awaiting, Failed, Processed, Snoozed, info_of
from jobkit.runner.decode import Job, Malformed, Unknown
from jobkit.runner.invariant_monitor import InvariantMonitor
from jobkit.runner.outcome import Outbid, Settled
from jobkit.runner.outcome_hooks import OutcomeHooks
from jobkit.runner.split_brain import SplitBrainWatch
from jobkit.runner.unknown_aside import put_aside
from jobkit.telemetry import Telemetry

# Doubt about a backend is asked again after this, doubling up to the second figure.
_DOUBT_SECONDS = (0.05, 2.0)


class Settlement:
    """Writes outcomes to the store: under a job's lease, or for what has none."""

    def __init__(
        self,
        planes: Planes,
        sweeper: Sweeper,
        invariants: InvariantMonitor,
        split_brain: SplitBrainWatch,
        clock: Clock,
        telemetry: Telemetry,
        hooks: OutcomeHooks,
    ) -> None:
        self._store = planes.store
        self._inspection = planes.inspection
        self._transactions = planes.transactions
        self._sweeper = sweeper
        self._invariants = invariants
        self._split_brain = split_brain
        self._clock = clock
        self._telemetry = telemetry
        self._hooks = hooks

    async def commit(self, job: Job, lease: Lease, done: Processed, started: float) -> Settled | Outbid:
        """Commit, asking again while the answer is in doubt and the lease lives: the store makes that safe.

        Raises `LeaseLost`, and what the store raises for effects that it can never keep.
        """
        pause = _DOUBT_SECONDS[0]
        while True:
            lease.check()
            try:
                with self._telemetry.stage("commit"):
                    answer = await self._write(job, lease, done)
            except Unavailable as error:
                self._telemetry.connection_lost(error.plane, f"committing job {job.envelope.id}", error)
                await self._clock.sleep(pause)
                pause = min(2 * pause, _DOUBT_SECONDS[1])
                continue
            match answer:
                case Committed(receipt, outbox):
                    self._sweeper.hand(outbox)
                    self._invariants.committed(job, lease)
                    self._committed(job, started, done.attempt)
                    return Settled(receipt)
                case Duplicate(receipt):
                    return self.ended(job, receipt)
                case Refused():
                    return self._refused("commit", job, lease, answer)

    def _committed(self, job: Job, started: float, attempt: int) -> None:
        envelope, seconds = job.envelope, self._clock.now() - started
        self._telemetry.committed(envelope.type, envelope.id, job.key, seconds, self._lag(job))
        if self._hooks.wants(CommittedEvent):
            self._hooks.tell(CommittedEvent(info_of(job, attempt), job.payload, seconds))

    async def _write(self, job: Job, lease: Lease, done: Processed) -> Committed | Duplicate | Refused:
        if not done.participants:
            return await self._store.commit(job.envelope, lease.fence, done.effects)
        assert self._transactions is not None  # noqa: S101  (else the context would have taken none)
        return await self._transactions.commit_with(job.envelope, lease.fence, done.effects, done.participants)

    async def fail(self, job: Job, lease: Lease, done: Failed, delay: float | None) -> int | Settled | Outbid:
        """Record a failed attempt, to be made again after `delay` seconds, and return its number.

        Raises `LeaseLost` or `Unavailable`.
        """
        lease.check()
        with self._telemetry.stage("fail"):
            answer = await self._store.fail(job.envelope, lease.fence, done.failure, retry_in=delay or 0.0)
        if not isinstance(answer, int):
            return await self._refused_or_cancelled("fail", job, lease, answer)
        if self._hooks.wants(FailedEvent):
            retry_in = None if delay is None else timedelta(seconds=delay)
            self._hooks.tell(FailedEvent(info_of(job, answer), job.payload, done.error, retry_in))
        return answer

    async def snooze(self, job: Job, lease: Lease, snoozed: Snoozed) -> Settled | Outbid:
        """Put a job off, out of everybody's way. Raises `LeaseLost` or `Unavailable`."""
        lease.check()
        with self._telemetry.stage("snooze"):
            answer = await self._store.snooze(job.envelope, lease.fence, after=snoozed.seconds)
        if isinstance(answer, Refused):
            return await self._refused_or_cancelled("snooze", job, lease, answer)
        return Settled(answer)

    async def suspend(self, job: Job, lease: Lease, awaiting: Awaiting) -> Settled | Outbid:
        """Put a job aside until the members of its group have ended.

        Raises `JobConflict`, `LeaseLost` or `Unavailable`.
        """
        lease.check()
        with self._telemetry.stage("suspend"):
            answer = await self._store.suspend(
                job.envelope, lease.fence, members=awaiting.members, on_failure=awaiting.on_failure
            )
        if isinstance(answer, Refused):
            return await self._refused_or_cancelled("suspend", job, lease, answer)
        self._sweeper.hand(answer.outbox)
        return Settled(answer.receipt)

    async def _refused_or_cancelled(self, doing: str, job: Job, lease: Lease, answer: Refused) -> Settled | Outbid:
        for receipt in await self._store.cancelled([job.envelope.id]):
            return self.ended(job, receipt)
        return self._refused(doing, job, lease, answer)

    async def bury(
        self, job: Job, lease: Lease, reason: str, detail: str, *, attempt: int, error: Exception | None = None
    ) -> Settled | Outbid:
        """Dead-letter a job after its last attempt, whose `error` is told where it was made here.

        Raises `LeaseLost` or `Unavailable`.
        """
        lease.check()
        with self._telemetry.stage("bury"):
            answer = await self._store.bury(job.envelope, lease.fence, reason=reason, detail=detail)
        if isinstance(answer, Refused):
            return self._refused("bury", job, lease, answer)
        if answer.kind != "dead":
            return self.ended(job, answer)
        self._telemetry.dead_lettered(job.envelope.type, job.envelope.id, reason)
        if self._hooks.wants(DeadEvent):
            self._hooks.tell(DeadEvent(info_of(job, attempt), job.payload, reason, error))
        return Settled(answer)

    def ended(self, job: Job, receipt: Receipt) -> Settled:
        """Tell of a job that is found to have ended before."""
        telemetry = self._telemetry
        if receipt.kind != "moved":
            tell = {"cancelled": telemetry.cancelled, "expired": telemetry.expired}
            tell.get(receipt.kind, telemetry.duplicate)(job.envelope.type, job.envelope.id)
        if receipt.kind == "cancelled" and self._hooks.wants(CancelledEvent):
            self._hooks.tell(CancelledEvent(info_of(job, 0), job.payload))
        return Settled(receipt)

    async def bury_message(self, malformed: Malformed) -> Settled:
        """Dead-letter what is no job of its own. Raises `Unavailable`."""
        receipt = await self._store.bury_message(
            malformed.raw,
            malformed.envelope,
            reason=malformed.reason,
            detail=malformed.detail,
            heading=malformed.heading,
        )
        envelope = malformed.envelope
        self._telemetry.dead_lettered(
            envelope.type if envelope else "", envelope.id if envelope else None, malformed.reason
        )
        return Settled(receipt)

    async def hold(self, unknown: Unknown) -> Settled:
        """Set a job aside for a worker that knows what this one does not. Raises `Unavailable`."""
        receipt = await put_aside(self._store, self._inspection, unknown.envelope)
        self._telemetry.held(unknown.envelope.type, unknown.envelope.id, unknown.kind, unknown.detail)
        return Settled(receipt)

    async def park(self, job: Job, expected: int) -> Settled:
        """Set a job aside until the gap before it closes. Raises `Unavailable`."""
        reason = f"waits for sequence {expected}"
        receipt = await self._store.park(job.envelope, reason=reason)
        self._telemetry.gap(job.envelope.type, job.key, job.sequence, expected, "parked")
        return Settled(receipt)

    def _refused(self, doing: str, job: Job, lease: Lease, refused: Refused) -> Outbid:
        self._telemetry.stale_write(doing, job.envelope.id, job.resource, lease.ref.token, refused.mark)
        self._split_brain.refused(job, lease, refused.mark)
        return Outbid()

    def given_up(self, job: Job, lease: Lease) -> None:
        """Tell of work that was ended because its lease is lost."""
        if lease.live:
            # Not the coordinator has told, then, but the store: it did not take the job's progress.
            self._telemetry.stale_write("progress", job.envelope.id, job.resource, lease.ref.token, None)
            self._split_brain.refused(job, lease, None)
        else:
            self._split_brain.lost(job, lease)

    def _lag(self, job: Job) -> float | None:
        submitted = job.envelope.submitted_at
        return self._clock.wall() - submitted if submitted > 0 else None
