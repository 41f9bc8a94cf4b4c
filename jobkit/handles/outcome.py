"""How a job ended, as the error that whoever waits for its result is told."""

from __future__ import annotations

from jobkit.errors import JobCancelled, JobDead, JobExpired, JobFailed
from jobkit.ports.inspection import JobRecord, JobState


def failure_of(job: JobRecord) -> JobFailed:
    """Return what is to be raised for a job that has ended without a result."""
    if job.state is JobState.CANCELLED:
        return JobCancelled(job.id, by=job.ended_by or "", reason=job.reason or "")
    if job.state is JobState.EXPIRED:
        return JobExpired(job.id, reason=job.reason or "")
    last = job.failures[-1].error if job.failures else ""
    return JobDead(job.id, reason=job.reason or last or "unknown", failures=job.failures)
