"""What the store and the coordinator know, as JSON with stable names (docs/cli.md lists them) and as table rows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from jobkit.cli.output import age, moment
from jobkit.ports.coordinator import LeaseInfo, Member
from jobkit.ports.inspection import DeadLetter, JobRecord, JobState, ParkedKey
from jobkit.ports.store import Failure

JOB_HEADINGS = ("ID", "TYPE", "STATE", "DONE", "AGE", "KEY")
DEAD_HEADINGS = ("NUMBER", "TYPE", "AGE", "TRIES", "KEY", "REASON")
GAP_HEADINGS = ("TYPE", "KEY", "WAITS FOR", "HAS FROM", "PARKED", "SINCE", "REASON")
LEASE_HEADINGS = ("RESOURCE", "TOKEN", "ENDS IN", "OWNER")
WORKER_HEADINGS = ("WORKER", "TYPES")


def job_json(job: JobRecord) -> dict[str, Any]:
    """Return a job for JSON; its result is JSON within."""
    return {
        "id": job.id,
        "type": job.type,
        "key": job.key,
        "sequence": job.sequence,
        "state": job.state.value,
        "progress": job.progress,
        "message": job.message,
        "owner": job.owner,
        "token": job.token,
        "opens": job.opens,
        "failures": [asdict(failure) for failure in job.failures],
        "result": None if job.result is None else json.loads(job.result),
        "submitted_at": job.submitted_at,
        "started_at": job.started_at,
        "finished_at": job.finished_at,
    }


def job_row(job: JobRecord, now: float) -> tuple[str, ...]:
    """Return a job for a table."""
    return (job.id, job.type, job.state.value, percent(job), age(now - job.submitted_at), job.key)


def job_fields(job: JobRecord, now: float) -> list[tuple[str, str]]:
    """Return all that is worth reading of one job, by name."""
    pairs = [
        ("id", job.id),
        ("type", job.type),
        ("key", job.key),
        ("sequence", "-" if job.sequence is None else str(job.sequence)),
        ("state", job.state.value),
        ("progress", f"{percent(job)} {job.message}".strip()),
        ("submitted", moment(job.submitted_at, now)),
        ("started", moment(job.started_at, now)),
        ("finished", moment(job.finished_at, now)),
        ("worker", job.owner or "-"),
        ("token", "-" if job.token is None else str(job.token)),
        ("starts", str(job.opens)),
    ]
    pairs += failure_fields(job.failures, now)
    if job.result is not None:
        pairs.append(("result", json.dumps(json.loads(job.result), ensure_ascii=False)))
    if job.state is JobState.DEAD:
        pairs.append(("next", f"jobkit dead show {job.id}"))
    if job.state is JobState.PARKED:
        pairs.append(("next", "jobkit gaps list"))
    return pairs


def failure_fields(failures: Sequence[Failure], now: float) -> list[tuple[str, str]]:
    """Return failed attempts by name."""
    return [(f"attempt {one.attempt}", f"failed {age(now - one.at)} ago: {one.error}") for one in failures]


def percent(job: JobRecord) -> str:
    """Return how far a job is, as people read it."""
    if job.state is JobState.COMMITTED:
        return "100%"
    return f"{job.progress:.0%}" if job.progress > 0 or job.state is JobState.RUNNING else "-"


def dead_json(letter: DeadLetter) -> dict[str, Any]:
    """Return a dead letter for JSON; `body` is what came, with bytes that are no UTF-8 replaced."""
    return {
        "number": letter.number,
        "id": letter.id,
        "type": letter.type,
        "key": letter.key,
        "sequence": letter.sequence,
        "reason": letter.reason,
        "detail": letter.detail,
        "failures": [asdict(failure) for failure in letter.failures],
        "body": letter.raw.decode(errors="replace"),
        "headers": dict(letter.headers),
        "died_at": letter.died_at,
    }


def dead_row(letter: DeadLetter, now: float) -> tuple[str, ...]:
    """Return a dead letter for a table."""
    tries = str(len(letter.failures))
    return (
        str(letter.number),
        letter.type or "-",
        age(now - letter.died_at),
        tries,
        letter.key or "-",
        letter.reason,
    )


def gap_json(gap: ParkedKey) -> dict[str, Any]:
    """Return a parked key for JSON."""
    return asdict(gap)


def gap_row(gap: ParkedKey, now: float) -> tuple[str, ...]:
    """Return a parked key for a table."""
    since = age(now - gap.since)
    return (gap.type, gap.key, str(gap.expected), str(gap.first), str(gap.parked), since, gap.reason)


def lease_json(lease: LeaseInfo) -> dict[str, Any]:
    """Return a lease for JSON."""
    return asdict(lease)


def lease_row(lease: LeaseInfo) -> tuple[str, ...]:
    """Return a lease for a table."""
    return (lease.resource, str(lease.token), f"{max(0.0, lease.remaining):.1f}s", lease.owner)


def member_json(member: Member) -> dict[str, Any]:
    """Return a live worker for JSON."""
    return {"owner": member.owner, "types": list(member.types)}
