"""What keeps jobs of every kind: nobody serves their type, or a backend is away; and what it has failed with before."""

from __future__ import annotations

from jobkit.model.plane import Plane
from jobkit.ops.lateness.reason import Cause, Reason
from jobkit.ops.lateness.seen import Seen
from jobkit.ports.inspection import JobRecord


def nobody_serves(job: JobRecord, seen: Seen) -> list[Reason]:
    """Say that no worker serves the type, where that is so."""
    if seen.members is None or any(job.type in member.types for member in seen.members):
        return []
    alive = len(seen.members)
    others = "No worker is alive" if not alive else "No worker that is alive serves"
    text = f"{others}{'' if alive else ', so nobody serves'} the type {job.type!r}."
    return [Reason(Cause.NO_WORKER, text, "Start one.", f"jobkit worker {job.type}", blocks=True)]


def backends_away(seen: Seen) -> list[Reason]:
    """Say which planes are out of reach."""
    what = {
        Plane.BROKER: "The broker, which hands jobs to workers, is out of reach",
        Plane.COORDINATOR: "The coordinator, which says who may work, is out of reach",
    }
    change = "Nothing is lost: the store keeps every job, and work goes on when it is back."
    return [
        Reason(Cause.BACKEND_AWAY, f"{what[plane]}: {error}", change, "jobkit doctor", blocks=True)
        for plane, error in seen.away.items()
    ]


def failed_before(job: JobRecord) -> list[Reason]:
    """Say how often the job has failed, where it has."""
    if not job.failures:
        return []
    last = job.failures[-1]
    tries = "once" if last.attempt == 1 else f"{last.attempt} times"
    return [
        Reason(
            Cause.FAILED_BEFORE,
            f"It has failed {tries}, the last time with: {last.error}",
            "It is tried again by itself, after a while that grows with each attempt.",
        )
    ]
