"""How far a job has come."""

from __future__ import annotations

from enum import StrEnum


class JobState(StrEnum):
    """How far a job has come."""

    SCHEDULED = "scheduled"
    QUEUED = "queued"
    RUNNING = "running"
    PARKED = "parked"
    COMMITTED = "committed"
    DEAD = "dead"
    CANCELLED = "cancelled"
    EXPIRED = "expired"

    @property
    def ended(self) -> bool:
        """Return whether it will change no more by itself."""
        return self in (JobState.COMMITTED, JobState.DEAD, JobState.CANCELLED, JobState.EXPIRED)


# The states of jobs that have yet to end, each before those that a job may go on to from it.
UNFINISHED = (JobState.SCHEDULED, JobState.PARKED, JobState.QUEUED, JobState.RUNNING)
# The states of jobs whose priority can be changed.
WAITING = (JobState.SCHEDULED, JobState.QUEUED)
