"""What the store and the coordinator know, as rows of tables and as named fields."""

from __future__ import annotations

import json
from collections.abc import Sequence

from jobkit.cli.output import age, due_in, moment
from jobkit.client.schedules import ScheduleStatus
from jobkit.model.pause import Pause
from jobkit.model.priority import Priority
from jobkit.model.ticks import Timing
from jobkit.ops.views import stored_json
from jobkit.plugin.type_definition import Schema, TypeDefinition
from jobkit.ports.checkpoints import CHECKPOINT, Checkpoint
from jobkit.ports.coordinator import LeaseInfo, Member
from jobkit.ports.inspection import DeadLetter, JobRecord, JobState, ParkedKey
from jobkit.ports.limits import LimitInfo
from jobkit.ports.store import Failure

JOB_HEADINGS = ("ID", "TYPE", "STATE", "DONE", "AGE", "KEY")
DEAD_HEADINGS = ("NUMBER", "TYPE", "AGE", "TRIES", "KEY", "REASON")
GAP_HEADINGS = ("TYPE", "KEY", "WAITS FOR", "HAS FROM", "PARKED", "SINCE", "REASON")
SCHEDULE_HEADINGS = ("NAME", "TYPE", "WHEN", "NEXT", "LAST", "OUTCOME", "FROM")
TYPE_HEADINGS = ("TYPE", "TAKES", "RETURNS", "PUBLISHED", "DESCRIPTION")
LEASE_HEADINGS = ("RESOURCE", "TOKEN", "ENDS IN", "OWNER")
LIMIT_HEADINGS = ("LIMIT", "USED", "WAITING", "NEXT FREE", "HELD BY")
PAUSE_HEADINGS = ("TYPE", "PARTITION", "KEY", "SINCE", "BY", "REASON")
WORKER_HEADINGS = ("WORKER", "LATENCY", "TYPES", "ASKED")


def job_row(job: JobRecord, now: float, waits_for: str | None = None, pause: Pause | None = None) -> tuple[str, ...]:
    """Return a job for a table; `waits_for` is the limit and `pause` the pause that keeps it waiting."""
    state = job.state.value if waits_for is None or job.state.ended else f"{job.state.value}, waits for {waits_for}"
    state = f"{state}, waits for a place of {job.tenant}" if job.waits_for_place else state
    state = state if pause is None else f"{state}, paused"
    state = state if job.priority in (None, Priority.NORMAL) else f"{state}, {job.priority}"
    return (job.id, job.type, state, percent(job), age(now - job.submitted_at), job.key)


def type_row(type: TypeDefinition, now: float) -> tuple[str, ...]:
    """Return a published job type for a table."""
    takes = ", ".join(name for name, _ in _fields_of(type.payload)) or "-"
    about = type.description.partition("\n")[0] or "-"
    return (type.name, takes, _kind_of(type.result), age(now - type.published_at), about)


def type_fields(type: TypeDefinition, now: float) -> list[tuple[str, str]]:
    """Return all that is worth reading of a published job type, by name."""
    return [
        ("type", type.name),
        ("group", type.group or "-"),
        ("ordered", "yes: say a key with each job" if type.ordered else "no"),
        *([] if type.places is None else [("places", f"{type.places} for each tenant: say one with each job")]),
        ("published", f"{age(now - type.published_at)} ago"),
        ("description", type.description or "-"),
        *((f"takes {name}", what) for name, what in _fields_of(type.payload)),
        ("returns", _kind_of(type.result)),
        *((f"returns {name}", what) for name, what in _fields_of(type.result)),
    ]


def _fields_of(schema: Schema) -> list[tuple[str, str]]:
    """Return the fields of an object, each with what it may be."""
    required = schema.get("required", ())
    return [
        (name, f"{_kind_of(field)}{'' if name in required else ', may be left out'}")
        for name, field in schema.get("properties", {}).items()
    ]


def _kind_of(schema: Schema) -> str:
    """Return in a word what a schema is of."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "anyOf" in schema:
        return " or ".join(_kind_of(choice) for choice in schema["anyOf"])
    return str(schema.get("format") or schema.get("title" if schema.get("type") == "object" else "type") or "anything")


def schedule_row(status: ScheduleStatus, now: float) -> tuple[str, ...]:
    """Return a schedule for a table."""
    schedule = status.schedule
    if schedule is None:
        return (status.name, status.type, "-", "-", "-", "unreadable", "-")
    last = schedule.last
    return (
        schedule.name,
        schedule.job.type,
        _when(schedule.timing),
        "paused" if schedule.pause is not None else "never" if schedule.due is None else due_in(schedule.due, now),
        "-" if last is None else moment(last.tick, now),
        status.last_outcome or "-",
        "plugin" if schedule.declared else "command",
    )


def schedule_fields(status: ScheduleStatus, now: float) -> list[tuple[str, str]]:
    """Return all that is worth reading of a schedule, by name."""
    schedule = status.schedule
    if schedule is None:
        return [("name", status.name), ("type", status.type), ("unreadable", str(status.unreadable))]
    last, pause = schedule.last, schedule.pause
    pairs = [
        ("name", schedule.name),
        ("type", schedule.job.type),
        ("key", schedule.job.key or "-"),
        ("payload", json.dumps(stored_json(schedule.job.body), ensure_ascii=False)),
        ("when", _when(schedule.timing)),
        ("jitter", f"{schedule.timing.jitter:g} s"),
        ("missed", f"{schedule.missed.value} (grace {schedule.grace:g} s, bound {schedule.bound})"),
        ("overlap", schedule.overlap.value),
        ("from", "plugin" if schedule.declared else "command"),
        ("next", "-" if schedule.due is None else due_in(schedule.due, now)),
        ("last", "-" if last is None else moment(last.tick, now)),
        ("last job", "-" if last is None or last.job is None else last.job),
        ("outcome", status.last_outcome or "-"),
    ]
    if pause is not None:
        pairs += [("paused", moment(pause.at, now)), ("paused by", pause.by), ("reason", pause.reason or "-")]
    return pairs


def _when(timing: Timing) -> str:
    return f"every {timing.every:g} s" if timing.every is not None else f"{timing.cron} ({timing.zone})"


def job_fields(
    job: JobRecord,
    now: float,
    waits_for: str | None = None,
    pause: Pause | None = None,
    kept: Sequence[Checkpoint] = (),
) -> list[tuple[str, str]]:
    """Return all that is worth reading of one job, by name."""
    pairs = [
        ("id", job.id),
        ("type", job.type),
        ("key", job.key),
        ("sequence", "-" if job.sequence is None else str(job.sequence)),
        *([] if job.unique is None else [("unique name", job.unique)]),
        *([] if job.group is None else [("group", job.group)]),
        *([] if job.parent is None else [("parent", job.parent)]),
        ("state", job.state.value),
        *([] if job.priority in (None, Priority.NORMAL) else [("priority", str(job.priority))]),
        *([] if job.tenant is None else [("tenant", job.tenant)]),
        *([("tags", " ".join(job.tags))] if job.tags else []),
        *([("waits for", "a place of its tenant's")] if job.waits_for_place else []),
        *([] if pause is None else [("paused", pause_text(pause, now))]),
        *([("waits for", f"limit {waits_for}")] if waits_for is not None and not job.state.ended else []),
        ("progress", f"{percent(job)} {job.message}".strip()),
        ("submitted", moment(job.submitted_at, now)),
        *([("due", due_in(job.due_at, now))] if job.due_at is not None and not job.state.ended else []),
        *([("expires", due_in(job.expires_at, now))] if job.expires_at is not None and not job.state.ended else []),
        ("started", moment(job.started_at, now)),
        ("finished", moment(job.finished_at, now)),
        ("worker", job.owner or "-"),
        ("token", "-" if job.token is None else str(job.token)),
        ("starts", str(job.opens)),
        *_kept_fields(kept, now),
    ]
    pairs += failure_fields(job.failures, now)
    if job.result is not None:
        pairs.append(("result", json.dumps(stored_json(job.result), ensure_ascii=False)))
    if job.ended_by is not None:
        pairs.append(("ended by", job.ended_by))
    if job.reason:
        pairs.append(("reason", job.reason))
    if job.state is JobState.DEAD:
        pairs.append(("next", f"jobkit dead show {job.id}"))
    if job.state is JobState.PARKED:
        pairs.append(("next", "jobkit gaps list"))
    return pairs


def _kept_fields(kept: Sequence[Checkpoint], now: float) -> list[tuple[str, str]]:
    """Return what a job keeps of its work, by name."""
    pairs = [("checkpoint", f"{moment(one.at, now)}, {len(one.value)} bytes") for one in kept if one.step == CHECKPOINT]
    steps = [one.step for one in kept if one.step != CHECKPOINT]
    return pairs + ([("steps done", ", ".join(steps))] if steps else [])


def pause_row(pause: Pause, now: float) -> tuple[str, ...]:
    """Return a pause for a table."""
    scope = pause.scope
    partition = "-" if scope.partition is None else str(scope.partition)
    return (scope.type, partition, scope.key or "-", age(now - pause.since), pause.by, pause.reason)


def pause_text(pause: Pause, now: float) -> str:
    """Return a pause in words."""
    why = f": {pause.reason}" if pause.reason else ""
    return f"{pause.scope}, {moment(pause.since, now)} by {pause.by}{why}"


def worker_row(worker: Member) -> tuple[str, ...]:
    """Return a worker for a table."""
    asked = [*(f"leads {partition}" for partition in worker.assigned), *(["drains"] if worker.dismissed else [])]
    return (worker.owner, f"{1000 * worker.latency:.0f} ms", ", ".join(worker.types), ", ".join(asked))


def failure_fields(failures: Sequence[Failure], now: float) -> list[tuple[str, str]]:
    """Return failed attempts by name."""
    return [(f"attempt {one.attempt}", f"failed {age(now - one.at)} ago: {one.error}") for one in failures]


def percent(job: JobRecord) -> str:
    """Return how far a job is, as people read it."""
    if job.state is JobState.COMMITTED:
        return "100%"
    return f"{job.progress:.0%}" if job.progress > 0 or job.state is JobState.RUNNING else "-"


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


def gap_row(gap: ParkedKey, now: float) -> tuple[str, ...]:
    """Return a parked key for a table."""
    since = age(now - gap.since)
    return (gap.type, gap.key, str(gap.expected), str(gap.first), str(gap.parked), since, gap.reason)


def lease_row(lease: LeaseInfo) -> tuple[str, ...]:
    """Return a lease for a table."""
    return (lease.resource, str(lease.token), f"{max(0.0, lease.remaining):.1f}s", lease.owner)


def limit_row(info: LimitInfo, waiting: int) -> tuple[str, ...]:
    """Return a limit for a table."""
    limit = info.limit
    used = f"{info.used} of {limit.count}" + (f" in {limit.per:g}s" if limit.per is not None else "")
    free = f"in {info.remaining:.1f}s" if limit.per is not None and info.used >= limit.count else "-"
    return (limit.bucket, used, str(waiting), free, ", ".join(info.holders) or "-")
