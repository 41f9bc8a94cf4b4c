"""The declaration of a schedule: a job that is submitted by the calendar, beside the processor that does it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from jobkit.errors import ConfigurationError
from jobkit.model.safe_text import shown
from jobkit.model.schedule import Schedule, ScheduledJob
from jobkit.model.tick_policy import Missed, Overlap
from jobkit.model.ticks import Timing
from jobkit.plugin.payload import Payload


@dataclass(frozen=True, slots=True)
class DeclaredSchedule:
    """A schedule as a plugin declares it; `type` is None where the payload tells."""

    name: str
    job: Payload
    type: str | None
    timing: Timing
    missed: Missed
    bound: int
    grace: float
    overlap: Overlap

    def starting(self, job: ScheduledJob, decided: float) -> Schedule:
        """Return the schedule with the job that it submits; ticks up to `decided` are none of its own."""
        return Schedule(
            name=self.name,
            timing=self.timing,
            job=job,
            decided=decided,
            missed=self.missed,
            bound=self.bound,
            grace=self.grace,
            overlap=self.overlap,
            declared=True,
        )


def schedule(
    name: str,
    *,
    job: Payload,
    cron: str | None = None,
    every: timedelta | None = None,
    zone: str = "UTC",
    jitter: timedelta = timedelta(0),
    missed: Literal["skip", "latest", "all"] = "latest",
    bound: int = 100,
    grace: timedelta = timedelta(minutes=1),
    overlap: Literal["allow", "skip", "wait"] = "allow",
    type: str | None = None,
) -> DeclaredSchedule:
    """Declare that `job` is to be submitted at each tick of `cron` in the time zone `zone`, or `every` so often.

    Workers find it beside the processor. The job's id is the schedule's name and the tick. Each tick is put off by up
    to `jitter`. Of ticks that passed while no worker lived, and are late by more than `grace`, those fire that `missed`
    says: none, the latest, or all, of which the latest `bound`. `overlap` says what a tick does while the last job has
    yet to end. `type` is needed only where several processors take the job's payload.

    Raises `ConfigurationError` where the declaration cannot work.
    """
    try:
        if not isinstance(job, Payload):
            raise ValueError(f"job must be a Payload, such as Report(...), not {shown(job)}")
        declared = DeclaredSchedule(
            name=name,
            job=job,
            type=type,
            timing=timing_of(cron, every, zone, jitter),
            missed=Missed(missed),
            bound=bound,
            grace=grace.total_seconds(),
            overlap=Overlap(overlap),
        )
        declared.starting(ScheduledJob("", b"", None, ordered=False), 0.0)
    except ValueError as error:
        raise ConfigurationError(f"schedule {shown(name)}: {error}") from error
    return declared


def timing_of(cron: str | None, every: timedelta | None, zone: str, jitter: timedelta) -> Timing:
    """Return when a schedule ticks. Raises `ValueError` where it cannot be told."""
    seconds = None if every is None else every.total_seconds()
    return Timing(cron=cron, zone=zone, every=seconds, jitter=jitter.total_seconds())
