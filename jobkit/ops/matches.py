"""Whether a job that was read is one that somebody looks for."""

from __future__ import annotations

from jobkit.model.job_filter import JobFilter
from jobkit.ports.inspection import JobRecord


def matches(job: JobRecord, wanted: JobFilter) -> bool:
    """Tell what `Inspection.find` would find: whether a job is as it is wanted."""
    exact = ((wanted.type, job.type), (wanted.key, job.key), (wanted.state, job.state))
    if any(asked is not None and asked != said for asked, said in exact):
        return False
    if wanted.worker is not None and not (job.owner or "").startswith(wanted.worker):
        return False
    if not (wanted.since or float("-inf")) <= job.submitted_at <= (wanted.until or float("inf")):
        return False
    if wanted.tag is not None and wanted.tag not in job.tags:
        return False
    errors = [*(failure.error for failure in job.failures), job.reason or ""]
    return wanted.error is None or any(_lowered(wanted.error) in _lowered(error) for error in errors)


def _lowered(text: str) -> bytes:
    # As the stores do it: of ASCII letters alone.
    return text.encode(errors="replace").lower()
