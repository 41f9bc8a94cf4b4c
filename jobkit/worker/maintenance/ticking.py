"""Firing schedules: what is due is submitted, by whoever leads.

Where several workers think that they lead, each decides, and the store takes one decision: it is written together with
the jobs that it makes, and only over the state that it was made from. No clock but the store's is looked at.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from jobkit.client.schedules import entries_of, job_of, kept_of
from jobkit.errors import Unavailable
from jobkit.model.clock import Clock
from jobkit.model.schedule import Decision, Overlap, Schedule, decide, load_schedule
from jobkit.model.timing import tick_id
from jobkit.ports.inspection import Inspection
from jobkit.ports.schedules import KeptSchedule
from jobkit.ports.store import Conflict, OutboxEntry
from jobkit.telemetry import Telemetry

# How often is looked; what is due fires after half of it, on average.
_EVERY_SECONDS = 0.5
_PAGE = 100

Publish = Callable[[Sequence[OutboxEntry]], Awaitable[object]]


class Ticker:
    """Fires the schedules of a store while this worker `leads`."""

    def __init__(
        self,
        inspection: Inspection,
        publish: Publish,
        *,
        leads: Callable[[], bool],
        clock: Clock,
        telemetry: Telemetry,
    ) -> None:
        self._inspection = inspection
        self._publish = publish
        self._leads = leads
        self._clock = clock
        self._telemetry = telemetry

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            await self._clock.sleep(_EVERY_SECONDS)
            try:
                while self._leads() and await self._look() == _PAGE:
                    pass
            except Unavailable as error:
                self._telemetry.connection_lost(error.plane, "firing schedules", error)

    async def _look(self) -> int:
        """Decide what is due now, once for each schedule; return how many there were."""
        now, due = await self._inspection.due_schedules(limit=_PAGE)
        decided = 0
        for kept in due:
            try:
                schedule = load_schedule(kept.definition)
            except ValueError as error:
                # Another version of jobkit wrote it, for its own workers to fire.
                self._telemetry.crashed(f"reading schedule {kept.name}", error)
                continue
            await self._decide(kept, schedule, now)
            decided += 1
        return decided

    async def _decide(self, kept: KeptSchedule, schedule: Schedule, now: float) -> None:
        decision = decide(schedule, now, busy=await self._busy(schedule))
        jobs = [job_of(schedule.job, tick_id(schedule.name, tick), now) for tick in decision.fire]
        following = kept_of(decision.schedule, revision=kept.revision)
        answers = await self._inspection.save_schedule(replace(following, due=decision.due), jobs)
        if answers is None:
            # Another leader, or a person, was first; what they left is looked at next time.
            return
        self._report(kept, decision, now)
        for answer in answers:
            if isinstance(answer, Conflict):
                self._telemetry.conflict(schedule.job.type, answer.id)
        await self._publish(entries_of(answers))

    async def _busy(self, schedule: Schedule) -> bool:
        if schedule.overlap is Overlap.ALLOW or schedule.last_job is None:
            return False
        record = await self._inspection.job(schedule.last_job)
        return record is not None and not record.state.ended

    def _report(self, kept: KeptSchedule, decision: Decision, now: float) -> None:
        name, type = kept.name, kept.type
        if decision.fire:
            last = decision.fire[-1]
            late = now - decision.schedule.timing.due(tick_id(name, last), last)
            self._telemetry.schedule_fired(name, type, len(decision.fire), late)
        if decision.missed:
            self._telemetry.ticks_missed(name, type, decision.missed)
        if decision.overlapped:
            self._telemetry.ticks_overlapped(name, type, decision.overlapped)
