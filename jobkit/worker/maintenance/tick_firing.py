"""One decision on the ticks of a schedule that are due: from what it is made, and what it makes."""

from __future__ import annotations

from collections.abc import Sequence

from jobkit.client.schedule_row import job_of
from jobkit.model.schedule import Schedule
from jobkit.model.tick_decision import Decision, decide
from jobkit.model.tick_policy import Overlap
from jobkit.model.ticks import tick_id
from jobkit.ports.inspection import Inspection
from jobkit.ports.schedules import KeptSchedule
from jobkit.ports.store import Conflict, NewJob, SubmitAnswer
from jobkit.telemetry import Telemetry


async def decided(inspection: Inspection, schedule: Schedule, now: float) -> Decision:
    """Return what to do about the ticks that are due `now`. Raises `Unavailable`."""
    busy = False
    if schedule.overlap is not Overlap.ALLOW and schedule.last_job is not None:
        record = await inspection.job(schedule.last_job)
        busy = record is not None and not record.state.ended
    return decide(schedule, now, busy=busy)


def jobs_of(schedule: Schedule, decision: Decision, now: float) -> list[NewJob]:
    """Return the jobs of the ticks that fire."""
    return [job_of(schedule.job, tick_id(schedule.name, tick), now) for tick in decision.fire]


def report(
    telemetry: Telemetry, kept: KeptSchedule, decision: Decision, answers: Sequence[SubmitAnswer], now: float
) -> None:
    """Tell of a decision that the store has accepted."""
    name, type = kept.name, kept.type
    refused = [answer.id for answer in answers if isinstance(answer, Conflict)]
    for id in refused:
        telemetry.tick_conflict(name, type, id)
    if fired := len(decision.fire) - len(refused):
        last = decision.fire[-1]
        late = now - decision.schedule.timing.due(tick_id(name, last), last)
        telemetry.schedule_fired(name, type, fired, late)
    if decision.missed:
        telemetry.ticks_missed(name, type, decision.missed)
    if decision.overlapped:
        telemetry.ticks_overlapped(name, type, decision.overlapped)
