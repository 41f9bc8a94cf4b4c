"""The way of a job: decode -> lane -> claim -> open -> process -> commit -> ack -> release.

`Pipeline.run` is the part from claim to commit, and tells the lane what to do then; the writes at its end are in
`settlement.py`. What it promises: nothing runs and nothing is written without a live lease, and it returns a receipt
only for what the store has settled.
It does not promise that a job that ran took effect: the store may refuse it, and then it is tried anew.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from functools import partial

from opentelemetry import trace

from jobkit.client.outbox_sweeper import Sweeper
from jobkit.errors import JobConflict, LeaseLost, ParticipantFailed, Reject, WaitTimeout
from jobkit.leases import Keeper, Lease
from jobkit.model.clock import Clock
from jobkit.model.safe_text import error_text
from jobkit.ports.coordinator import Held
from jobkit.ports.limits import Limited
from jobkit.ports.planes import Planes
from jobkit.ports.rules import CONFLICTING, SUPERSEDED
from jobkit.ports.store import (
    Conflict,
    Duplicate,
    Early,
    Failure,
    Gap,
    NotOpened,
    OpenAnswer,
    Opened,
    Skipped,
    Stale,
    Superseded,
)
from jobkit.runner.attempt import Attempts, Awaiting, Failed, Processed, Snoozed
from jobkit.runner.cancellations import Cancellations, CancelWatch
from jobkit.runner.decode import Job, Malformed
from jobkit.runner.interruptions import Interruptions
from jobkit.runner.invariant_monitor import InvariantMonitor
from jobkit.runner.limit_lines import LimitLines, Place
from jobkit.runner.opening_ahead import FAR_SECONDS, OpeningAhead
from jobkit.runner.outcome import Ahead, KeyLease, Outbid, PipelineOutcome, Settled, Suspect, TryAgain
from jobkit.runner.outcome_hooks import OutcomeHooks
from jobkit.runner.settlement import Settlement
from jobkit.runner.slots import Slot
from jobkit.runner.split_brain import SplitBrainWatch
from jobkit.runner.suspicion import Suspicion
from jobkit.runner.tracing import job_span, note_claim, step_span
from jobkit.runner.type_slots import TypeSlots
from jobkit.telemetry import Telemetry

# Where an opening takes this long, in seconds, a job that has not begun is given back rather than waited for.
_VERY_FAR_SECONDS = 0.2


class Pipeline:
    """Takes jobs the whole way, one call each."""

    def __init__(
        self,
        planes: Planes,
        keeper: Keeper,
        attempts: Attempts,
        sweeper: Sweeper,
        slots: TypeSlots,
        cancellations: Cancellations,
        *,
        claim_wait: float,
        max_opens: int,
        retention: float = 3600.0,
        clock: Clock,
        rng: random.Random,
        telemetry: Telemetry,
        hooks: OutcomeHooks | None = None,
    ) -> None:
        self._coordinator = planes.coordinator
        self.limit_lines = LimitLines(planes.coordinator)
        self._store = planes.store
        self._keeper = keeper
        self._attempts = attempts
        self._slots = slots
        self._cancellations = cancellations
        self._claim_wait = claim_wait
        self._suspicion = Suspicion(max_opens)
        self._clock = clock
        self._rng = rng
        self._telemetry = telemetry
        self.hooks = hooks or OutcomeHooks((), telemetry)
        self.split_brain = SplitBrainWatch(planes.inspection, keeper.owner, clock, telemetry)
        invariants = InvariantMonitor(retention, clock, telemetry)
        self.settlement = Settlement(planes, sweeper, invariants, self.split_brain, clock, telemetry, self.hooks)
        self.interruptions = Interruptions(planes.store, clock, telemetry)
        self._ahead = OpeningAhead(planes.store, self.interruptions, clock)
        # Whether the latest opening took so long.
        self._far = False

    @property
    def idle(self) -> bool:
        """Whether this process would begin one more job at once."""
        return self._slots.idle

    async def run(self, job: Job, working: Callable[[bool], None], key: KeyLease | None = None) -> PipelineOutcome:
        """Take `job` from claim to release; `working` is told when that begins to be work, and when it is a wait.

        `key` may hold a lease on the job's key already; it has the lease afterwards where the job is settled, and is to
        be let go.

        Raises `Unavailable` where a backend leaves it unknown how far the job has come; the next run finds out.
        """
        if not job.limits:
            return await self._run(job, working, key, None)
        # Each job is granted its limits with its lease, so none is kept for the next.
        with self.limit_lines.place(job.envelope.id, job.limits, job.envelope.priority) as place:
            return await self._run(job, working, None, place)

    async def _run(
        self, job: Job, working: Callable[[bool], None], key: KeyLease | None, place: Place | None
    ) -> PipelineOutcome:
        floor = 0
        alone = False
        waiting_since: float | None = None
        while True:
            working(False)
            if place is not None:
                await place.turn()
            async with self._slots.admitted(job.envelope.type, alone=alone, priority=job.envelope.priority) as slot:
                # Very far away it is no work before it begins: a hand-over would wait for round trips.
                working(not self._far)
                claim = await self._kept(key) or await self._claim(job, floor)
                if isinstance(claim, Lease):
                    if place is not None:
                        place.leave()
                    outcome: PipelineOutcome | Stale | Suspect | None = None
                    try:
                        outcome = await self._under_lease(job, claim, slot, working, key)
                    finally:
                        if key is not None and isinstance(outcome, Settled):
                            key.lease, key.job = claim, job
                        else:
                            if key is not None:
                                self._ahead.drop(key)
                            await self._release(claim, job)
                    if isinstance(outcome, Stale):
                        floor = outcome.mark
                    elif isinstance(outcome, Suspect):
                        # It is opened anew once nobody else is under way: whatever else is opened now is no neighbour.
                        alone = True
                    else:
                        return outcome
                    continue
            # No slot is held from here: waiting is no work.
            working(False)
            if isinstance(claim, Limited):
                assert place is not None  # noqa: S101  (else no limit was asked for)
                await place.refused(claim)
                continue
            # Counted from the first answer: the wait for a slot before it was for this worker, not for the holder.
            waiting_since = self._clock.now() if waiting_since is None else waiting_since
            waited = self._clock.now() - waiting_since
            if waited >= self._claim_wait:
                return self._claim_timed_out(job, claim, waited)
            patience = min(claim.remaining, self._claim_wait - waited) + 0.01
            await self._coordinator.wait_change(job.resource, patience)

    async def _claim(self, job: Job, floor: int) -> Lease | Held | Limited:
        with step_span(self._telemetry, "claim", job) as span:
            claim = await self._keeper.claim(job.resource, floor=floor, limits=job.limits)
            note_claim(span, claim)
        return claim

    async def _kept(self, key: KeyLease | None) -> Lease | None:
        """Return the lease that is kept on the key, if it can still be used."""
        if key is not None and key.lease is not None and not key.lease.live:
            await self.let_go(key)
        return None if key is None else key.take()

    async def let_go(self, key: KeyLease) -> None:
        """Release the lease that was kept on a key, if there is one; as `Keeper.release` also where it is cancelled."""
        self._ahead.drop(key)
        lease = key.take()
        if lease is not None and key.job is not None:
            await self._release(lease, key.job)

    async def _release(self, lease: Lease, job: Job) -> None:
        with step_span(self._telemetry, "release", job):
            await self._keeper.release(lease)

    def _claim_timed_out(self, job: Job, held: Held, waited: float) -> TryAgain:
        self._telemetry.claim_timed_out(job.resource, held.owner, waited)
        error = WaitTimeout(f"{job.resource} was held by {held.owner} for {waited:.1f} s")
        delay = job.processor.retry.delay(error, 0, self._rng)
        return TryAgain(1.0 if delay is None else delay, requeue=job.sequence is None and not job.processor.ordered)

    async def _under_lease(
        self, job: Job, lease: Lease, slot: Slot, working: Callable[[bool], None], key: KeyLease | None
    ) -> PipelineOutcome | Stale | Suspect:
        answer: OpenAnswer | None = None
        watch: CancelWatch | None = None
        outcome: PipelineOutcome | Suspect | None = None
        with job_span(self._telemetry, job, lease):
            try:
                with lease.guarding() as scope:
                    while True:
                        answer = None if key is None else self._ahead.taken(key, job, lease.fence)
                        if answer is None:
                            answer = await self._open(job, lease, key)
                        if not isinstance(answer, Opened):
                            return await self._not_opened(job, lease, answer)
                        with self._cancellations.watching(job.envelope.id, scope) as watch:
                            outcome = await self._work(job, lease, slot, working, answer, key)
                        if outcome is not None:
                            break
            except LeaseLost as error:
                self.settlement.given_up(job, lease)
                self._interrupted(job, lease, answer, str(error))
                trace.get_current_span().add_event("lease lost", {"reason": str(error)})
                return Outbid()
            except asyncio.CancelledError:
                self._interrupted(job, lease, answer, "the worker stops, or hands the job over")
                raise
            except Exception as error:
                self._interrupted(job, lease, answer, error_text(error))
                raise
            if watch is not None and watch.receipt is not None:
                return self.settlement.ended(job, watch.receipt)
            assert outcome is not None  # noqa: S101  (nobody else closes the scope of a lease that lives)
            if isinstance(outcome, Outbid):
                self._interrupted(job, lease, answer, "the store refused what was done under its lease")
            elif isinstance(outcome, Suspect):
                self._interrupted(job, lease, answer, "it may take its worker down, and waits until it can run alone")
            return outcome

    async def _open(self, job: Job, lease: Lease, key: KeyLease | None) -> OpenAnswer:
        asked = self._clock.now()
        with self._telemetry.stage("open"):
            answer = await self._store.open(job.envelope, lease.fence)
        took = self._clock.now() - asked
        self._far = took >= _VERY_FAR_SECONDS
        if key is not None:
            key.far = took >= FAR_SECONDS
        return answer

    async def _commit(
        self, job: Job, lease: Lease, done: Processed, started: float, slot: Slot, key: KeyLease | None
    ) -> Settled | Outbid:
        """Commit, and open the next job of the key meanwhile, where the store is far."""
        commit = partial(self.settlement.commit, job, lease, done, started)
        # Beside one that may take its worker down, no other is to begin.
        following = key.following() if key is not None and key.far and not slot.alone else None
        if key is None or following is None:
            return await commit()
        return await self._ahead.beside(commit, key, following, lease.fence)

    def _interrupted(self, job: Job, lease: Lease, answer: OpenAnswer | None, reason: str) -> None:
        """Have it told that this start has ended, where there was one; without an answer there may have been."""
        if answer is None or isinstance(answer, Opened):
            self.interruptions.add(job.envelope, lease.fence, reason)

    async def _not_opened(self, job: Job, lease: Lease, answer: NotOpened) -> PipelineOutcome | Stale:
        envelope = job.envelope
        match answer:
            case Duplicate(receipt):
                return self.settlement.ended(job, receipt)
            case Early(seconds):
                return TryAgain(seconds, requeue=not job.processor.ordered)
            case Gap(expected, blocked):
                return Ahead(expected, blocked)
            case Stale(mark):
                self._telemetry.token_outbid(job.resource, lease.ref.token, mark)
                self.split_brain.outbid(job, lease, mark)
                return answer
            case Skipped(next_sequence):
                detail = f"sequence {envelope.sequence} was given up by an operator; the key is at {next_sequence}"
                return await self.settlement.bury_message(
                    Malformed(envelope.body, envelope, "sequence skipped", detail)
                )
            case Superseded(sequence):
                self._telemetry.superseded(envelope.type, envelope.id, job.key, sequence)
                detail = (
                    f"the store knew nothing of this job, and its sequence {sequence} is another one's: the store lost "
                    "what it had accepted, as in a failover, or two publishers number one key"
                )
                return await self.settlement.bury_message(Malformed(envelope.body, envelope, SUPERSEDED, detail))
            case Conflict():
                self._telemetry.conflict(envelope.type, envelope.id)
                detail = f"job id {envelope.id} is known with another type, key or payload"
                return await self.settlement.bury_message(Malformed(envelope.body, envelope, CONFLICTING, detail))

    async def _work(
        self,
        job: Job,
        lease: Lease,
        slot: Slot,
        working: Callable[[bool], None],
        opened: Opened,
        key: KeyLease | None,
    ) -> PipelineOutcome | Suspect | None:
        """Process and commit; None where the job is to be opened again, its pause being over."""
        # By its number, not by counting: a store may keep only the latest.
        failures = opened.failures[-1].attempt if opened.failures else 0
        if failures >= job.processor.retry.max_attempts:
            # It was recorded, but the burial that was to follow did not happen.
            last = opened.failures[-1]
            return await self.settlement.bury(job, lease, _exhausted(last, failures), last.traceback, attempt=failures)
        if (poison := self._suspicion.poison(opened)) is not None:
            return await self.settlement.bury(job, lease, poison, "", attempt=failures + 1)
        if self._suspicion.suspects(opened) and not slot.alone:
            return Suspect()
        await self._begin(lease, slot, working)
        started = self._clock.now()
        with self._telemetry.stage("attempt", **{"jobkit.attempt": failures + 1}):
            done = await self._attempts.run(job, lease.fence, failures + 1, opened.log_length, lease.next_space())
        slot.end()
        if isinstance(done, Snoozed):
            self._telemetry.snoozed(job.envelope.type, job.envelope.id, done.seconds)
            if not job.processor.ordered and job.sequence is None:
                return await self.settlement.snooze(job, lease, done)
            if lease.limited:
                self._interrupted(job, lease, opened, "it was put off")
                return TryAgain(done.seconds)
            await self._wait_here(lease, slot, working, done.seconds)
            return None
        if isinstance(done, Awaiting):
            try:
                return await self.settlement.suspend(job, lease, done)
            except JobConflict as error:
                reason = f"conflicting group: {error}"
                return await self.settlement.bury(job, lease, reason, "", attempt=failures + 1, error=error)
        if isinstance(done, Processed):
            try:
                return await self._commit(job, lease, done, started, slot, key)
            except JobConflict as error:
                reason = f"conflicting follow-up: {error}"
                return await self.settlement.bury(job, lease, reason, "", attempt=failures + 1, error=error)
            except ParticipantFailed as failed:
                done = self._attempts.failed(failed.error, lease.fence, failures + 1)
            except (ValueError, OverflowError) as error:
                # No trouble of the store's, which would be `Unavailable`: it can never keep what the job wrote.
                done = self._attempts.failed(error, lease.fence, failures + 1)
        delay = job.processor.retry.delay(done.error, failures + 1, self._rng)
        recorded = await self.settlement.fail(job, lease, done, delay)
        if not isinstance(recorded, int):
            return recorded
        failures = recorded
        took = self._clock.now() - started
        self._telemetry.attempt_failed(job.envelope.type, job.envelope.id, failures, done.error, delay, took)
        if delay is None:
            reason, detail = _reason(done, failures), done.failure.traceback
            return await self.settlement.bury(job, lease, reason, detail, attempt=failures, error=done.error)
        if not job.processor.ordered:
            return TryAgain(delay, requeue=True)
        if lease.limited:
            # The lane waits: with the lease, its limits would be kept from others meanwhile.
            return TryAgain(delay)
        # The store knows when it is due, so a hand-over need not wait for it.
        await self._wait_here(lease, slot, working, delay)
        return None

    async def _wait_here(self, lease: Lease, slot: Slot, working: Callable[[bool], None], seconds: float) -> None:
        """Let an ordered key wait with its lease, so that nothing overtakes; others go on meanwhile."""
        slot.give_back()
        working(False)
        await self._clock.sleep(seconds)
        lease.check()

    async def _begin(self, lease: Lease, slot: Slot, working: Callable[[bool], None]) -> None:
        """Have a slot for the processor; a wait for one is no work, and a hand-over need not wait for it."""
        if not slot.free:
            working(False)
        await slot.begin()
        lease.used = True
        working(True)


def _reason(done: Failed, attempts: int) -> str:
    if isinstance(done.error, Reject):
        return f"rejected: {done.failure.error.partition(': ')[2]}"
    return _exhausted(done.failure, attempts)


def _exhausted(failure: Failure, attempts: int) -> str:
    kind, _, message = failure.error.partition(": ")
    times = "attempt" if attempts == 1 else "attempts"
    return f"{kind} after {attempts} {times}: {message}"
