"""A schedule and the row that a store keeps of it, in both directions; a row may be one that nobody here can read."""

from __future__ import annotations

from jobkit.errors import ScheduleUnreadable
from jobkit.model.envelope import Envelope
from jobkit.model.schedule import Schedule, ScheduledJob, load_schedule
from jobkit.model.ticks import tick_id
from jobkit.ports.schedules import KeptSchedule
from jobkit.ports.store import NewJob


def kept_of(schedule: Schedule, *, revision: int, due: float | None = None) -> KeptSchedule:
    """Return a schedule as a store keeps it, to be looked at when it is `due`, or else at its next tick."""
    when = schedule.due if due is None else due
    return KeptSchedule(schedule.name, schedule.job.type, schedule.dump(), revision, when)


def schedule_of(kept: KeptSchedule) -> Schedule:
    """Return the schedule that a store keeps. Raises `ScheduleUnreadable` where it could not be fired from here."""
    try:
        schedule = load_schedule(kept.definition)
        if (schedule.name, schedule.job.type) != (kept.name, kept.type):
            raise ValueError(f"the definition is of {schedule.name} for {schedule.job.type}, the row is not")
        # The jobs of its ticks have to be ones that a store takes.
        job = job_of(schedule.job, tick_id(schedule.name, schedule.decided), schedule.decided)
        Envelope.unpack(job.envelope.pack())
        if job.ordered and job.envelope.key is None:
            raise ValueError("its jobs are ordered, and have no key")
    except ValueError as error:
        raise ScheduleUnreadable(
            f"schedule {kept.name!r} cannot be read by this version of jobkit, which neither fires nor changes it: "
            f"use the version that wrote it, or remove it ({error})"
        ) from error
    return schedule


def job_of(job: ScheduledJob, id: str, now: float) -> NewJob:
    """Return the job that a schedule submits `now`, a Unix time, as `id`."""
    envelope = Envelope(
        id=id,
        type=job.type,
        body=job.body,
        key=job.key,
        submitted_at=now,
        priority=job.priority,
        version=job.version,
    )
    return NewJob(envelope, job.ordered, tenancy=job.tenancy)
