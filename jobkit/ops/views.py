"""Jobs, leases, workers, dead letters, gaps and findings as JSON with stable names; docs/cli.md lists them.

For the command line, and for any page that shows the same.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from jobkit.client.schedules import ScheduleStatus
from jobkit.files import CommittedFile
from jobkit.model.pause import Pause, pause_of
from jobkit.ops.lateness import Reason
from jobkit.ops.topology import TypeTopology
from jobkit.plugin.type_definition import TypeDefinition
from jobkit.ports.audit import Action
from jobkit.ports.checkpoints import CHECKPOINT, Checkpoint
from jobkit.ports.coordinator import LeaseInfo, Member
from jobkit.ports.diagnosis import Finding, Status
from jobkit.ports.inspection import Cancellation, DeadLetter, JobRecord, JobState, ParkedKey, PriorityChange
from jobkit.ports.limits import LimitInfo
from jobkit.ports.topology import TopologyPart


def job_view(job: JobRecord, waits_for: str | None = None, pause: Pause | None = None) -> dict[str, Any]:
    """Return a job for JSON; its result is JSON within.

    `waits_for` is the limit that it waits for, and `pause` what keeps it from being begun, if anything does.
    """
    return {
        "id": job.id,
        "type": job.type,
        "key": job.key,
        "sequence": job.sequence,
        "state": job.state.value,
        "priority": None if job.priority is None else job.priority.value,
        "progress": job.progress,
        "message": job.message,
        "owner": job.owner,
        "token": job.token,
        "opens": job.opens,
        "failures": [asdict(failure) for failure in job.failures],
        "result": None if job.result is None else stored_json(job.result),
        "submitted_at": job.submitted_at,
        "started_at": job.started_at,
        "finished_at": job.finished_at,
        "ended_by": job.ended_by,
        "reason": job.reason,
        "due_at": job.due_at,
        "paused": None if pause is None else pause_view(pause),
        "expires_at": job.expires_at,
        "waits_for": None if job.state.ended else waits_for,
        "unique": job.unique,
        "tenant": job.tenant,
        "tags": list(job.tags),
        "waits_for_place": job.waits_for_place,
        "group": job.group,
        "parent": job.parent,
    }


def checkpoints_view(kept: Sequence[Checkpoint]) -> dict[str, Any]:
    """Return what a job keeps of its work, for JSON: when its checkpoint was kept, and which steps are done."""
    checkpoint = next((one for one in kept if one.step == CHECKPOINT), None)
    return {
        "checkpoint": None if checkpoint is None else {"at": checkpoint.at, "bytes": len(checkpoint.value)},
        "steps": [
            {"name": one.step, "at": one.at, "files": [blob.name for blob in one.blobs]}
            for one in kept
            if one.step != CHECKPOINT
        ],
    }


def pause_view(pause: Pause) -> dict[str, Any]:
    """Return a pause for JSON."""
    return {**asdict(pause.scope), "by": pause.by, "reason": pause.reason, "since": pause.since}


def file_view(file: CommittedFile) -> dict[str, Any]:
    """Return a committed file for JSON; where its bytes lie is no part of it."""
    return {name: value for name, value in asdict(file).items() if name != "location"}


def holding_up(pauses: Sequence[Pause], job: JobRecord, partitions: int) -> Pause | None:
    """Return the pause that keeps a job from being begun, if it has yet to be; one that runs goes on."""
    waits = not job.state.ended and job.state is not JobState.RUNNING
    return pause_of(pauses, job.type, job.key, partitions) if waits else None


def reason_view(reason: Reason) -> dict[str, Any]:
    """Return why a job is late, for JSON."""
    return asdict(reason)


def action_view(action: Action) -> dict[str, Any]:
    """Return what a person has done, for JSON."""
    return asdict(action)


def cancellation_view(answer: Cancellation) -> dict[str, Any]:
    """Return what came of cancelling a job, for JSON."""
    return {
        "id": answer.id,
        "cancelled": answer.cancelled,
        "state": None if answer.state is None else answer.state.value,
        "result": None if answer.result is None else stored_json(answer.result),
    }


def priority_view(answer: PriorityChange) -> dict[str, Any]:
    """Return what came of changing a job's priority, for JSON."""
    return {
        "id": answer.id,
        "changed": answer.changed,
        "state": None if answer.state is None else answer.state.value,
        "priority": None if answer.priority is None else answer.priority.value,
    }


def stored_json(raw: bytes) -> Any:
    """Return JSON from a store, or its text where Python cannot read it: one such result must hide no other job."""
    try:
        return json.loads(raw, parse_constant=str)
    except (ValueError, RecursionError):
        # A number of thousands of digits, say, that an earlier version let pass.
        return raw.decode(errors="replace")


def dead_view(letter: DeadLetter) -> dict[str, Any]:
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


def gap_view(gap: ParkedKey) -> dict[str, Any]:
    """Return a parked key for JSON."""
    return asdict(gap)


_OF_A_SCHEDULE = (
    *("name", "type", "key", "payload", "cron", "zone", "every", "jitter", "missed", "bound", "grace", "overlap"),
    *("declared", "paused", "next_tick", "due_at", "last_tick", "last_job", "last_outcome", "unreadable"),
)


def type_view(type: TypeDefinition) -> dict[str, Any]:
    """Return a published job type for JSON; `payload` and `result` are JSON Schemas, `published_at` a Unix time."""
    return asdict(type)


def schedule_view(status: ScheduleStatus) -> dict[str, Any]:
    """Return a schedule for JSON; `next_tick`, `due_at` and `last_tick` are Unix times."""
    schedule = status.schedule
    if schedule is None:
        return {
            **dict.fromkeys(_OF_A_SCHEDULE),
            "name": status.name,
            "type": status.type,
            "unreadable": status.unreadable,
        }
    last, timing = schedule.last, schedule.timing
    return {
        "name": schedule.name,
        "type": schedule.job.type,
        "key": schedule.job.key,
        "payload": stored_json(schedule.job.body),
        "cron": timing.cron,
        "zone": timing.zone,
        "every": timing.every,
        "jitter": timing.jitter,
        "missed": schedule.missed.value,
        "bound": schedule.bound,
        "grace": schedule.grace,
        "overlap": schedule.overlap.value,
        "declared": schedule.declared,
        "paused": None if schedule.pause is None else asdict(schedule.pause),
        "next_tick": schedule.next_tick,
        "due_at": schedule.due,
        "last_tick": None if last is None else last.tick,
        "last_job": None if last is None else last.job,
        "last_outcome": status.last_outcome or None,
        "unreadable": None,
    }


def lease_view(lease: LeaseInfo) -> dict[str, Any]:
    """Return a lease for JSON."""
    return asdict(lease)


def limit_view(info: LimitInfo, waiting: int) -> dict[str, Any]:
    """Return a limit for JSON; `waiting` jobs wait for it."""
    return {
        "limit": info.limit.bucket,
        "count": info.limit.count,
        "per": info.limit.per,
        "used": info.used,
        "remaining": info.remaining,
        "waiting": waiting,
        "holders": list(info.holders),
    }


def member_view(member: Member) -> dict[str, Any]:
    """Return a live worker for JSON."""
    return {
        "owner": member.owner,
        "latency": member.latency,
        "types": list(member.types),
        "assigned": [str(partition) for partition in member.assigned],
        "dismissed": member.dismissed,
    }


def diagnosis_view(findings: Sequence[Finding]) -> dict[str, Any]:
    """Return what the doctor found; healthy is what has no failure."""
    bad = (Status.FAIL, Status.UNREACHABLE)
    return {
        "healthy": not any(finding.status in bad for finding in findings),
        "checks": [
            {"part": one.part, "status": one.status.value, "what": one.what, "change": one.change} for one in findings
        ],
    }


def type_topology_view(one: TypeTopology) -> dict[str, Any]:
    """Return the partitions of a type."""
    return {
        "type": one.type,
        "partitions": one.layout.partitions,
        "wanted": one.layout.wanted,
        "version": one.layout.version,
        "moving": one.layout.moving,
        "settled": one.layout.settled,
        "queues": [
            {
                "partition": queue.partition.index,
                "ready": queue.ready,
                "delayed": queue.delayed,
                "consumer": queue.consumer,
                "leader": queue.leader,
            }
            for queue in one.queues
        ],
    }


def topology_part_view(part: TopologyPart) -> dict[str, Any]:
    """Return an exchange or queue."""
    return {
        "kind": part.kind,
        "name": part.name,
        "state": part.state.value,
        "messages": part.messages,
        "problem": part.problem,
        "arguments": dict(part.arguments),
    }
