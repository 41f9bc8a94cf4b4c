"""What people and checks look at: rows turned into the values of `jobkit.ports.inspection`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from jobkit.backends.redis.history import load_failures
from jobkit.backends.redis.submit import NONE, load_trace, store_script
from jobkit.model.blob import BlobRef
from jobkit.model.job_filter import CLOCKS_APART, JobFilter
from jobkit.model.tags import CARRIED_AS
from jobkit.model.tenancy import tenant_in
from jobkit.ports.dead_letter import load_headers
from jobkit.ports.inspection import DeadLetter, JobRecord, JobState, KeyRecord, LoggedEntry, ParkedKey, StoreCounts
from jobkit.ports.rules import PARKED_COUNTED, PARKED_LOOKED_AT, priority_in
from jobkit.ports.take_over import load_take_overs

RECORDS = store_script("records", "views")
ENVELOPE = store_script("envelope")
NUMBER = store_script("number")
STATES = store_script("states")
FIND = store_script("find", "views")
RUNNING = store_script("running", "views")
OVERDUE = store_script("overdue", "views")
WATCH_JOBS = store_script("watch_jobs")
DEAD = store_script("dead", "outbox", "order", "ending", "letters", "views")
LETTER = store_script("letter", "outbox", "order", "ending", "letters", "views")
LETTERS = store_script("letters_of", "outbox", "order", "ending", "letters", "views")
GAPS = store_script("gaps", "outbox", "order")
KEY = store_script("key", "views")
KEYS = store_script("keys", "views")
LOG = store_script("log")
RECORD = store_script("record")
COUNTS = store_script("counts", "outbox", "order", "ending", "letters")

# How much one script looks at, so that none keeps the server busy for long.
PAGE = 500

# As `GAPS` takes them.
GAP_BOUNDS = (str(PARKED_COUNTED), str(PARKED_LOOKED_AT))

Row = Sequence[Any]


def wanted_arguments(wanted: JobFilter) -> tuple[str, ...]:
    """Return what `FIND` is told of the jobs that are looked for."""
    of = tuple(NONE if name is None else name for name in (wanted.type, wanted.key))
    times = ("" if at is None else repr(at) for at in (wanted.since, wanted.until))
    said = (wanted.state or "", wanted.worker or "", wanted.error or "", *times)
    return *of, *said, repr(CLOCKS_APART), wanted.tag or "", CARRIED_AS


def job(row: Row) -> JobRecord:
    """Return the job in a row."""
    (
        type,
        key,
        sequence,
        state,
        owner,
        token,
        opens,
        failures,
        progress,
        message,
        result,
        *times,
        by,
        reason,
        due,
        unique,
        line,
        group,
        parent,
        expires,
        head,
        waits,
        trace,
        taken_over,
        id,
    ) = row
    submitted_at, started_at, finished_at = (_number(time) for time in times)
    return JobRecord(
        id=id.decode(),
        type=type.decode(),
        key=_text(key) or "",
        sequence=_whole(sequence),
        state=JobState(state.decode()),
        owner=_text(owner),
        token=_whole(token),
        opens=_whole(opens) or 0,
        failures=load_failures(failures),
        progress=_number(progress) or 0.0,
        message=_text(message) or "",
        result=result,
        submitted_at=submitted_at or 0.0,
        started_at=started_at,
        finished_at=finished_at,
        ended_by=_text(by),
        reason=_text(reason),
        due_at=None if due == b"inf" else _number(due),
        expires_at=_number(expires),
        unique=_text(unique),
        priority=priority_in(head),
        group=_text(group),
        parent=_text(parent),
        tenant=tenant_in(_text(line)),
        waits_for_place=waits is not None,
        trace=load_trace(trace or b""),
        take_overs=load_take_overs((taken_over or b"").splitlines()),
    )


def dead_letter(row: Row) -> DeadLetter:
    """Return the dead letter in a row."""
    id, type, key, sequence, reason, detail, failures, raw, died_at, headers, number = row
    return DeadLetter(
        number=int(number),
        id=_text(id),
        type=_text(type),
        key=_text(key),
        sequence=_whole(sequence),
        reason=reason.decode(),
        detail=detail.decode(),
        failures=load_failures(failures),
        raw=raw,
        died_at=float(died_at),
        headers=load_headers(headers),
    )


def key(row: Row) -> KeyRecord:
    """Return the key in a row."""
    token, nonce, owner, submitted, committed, entries, trimmed, blobs, name = row
    type, key = split(name)
    return KeyRecord(
        type=type,
        key=key,
        token=_whole(token) or 0,
        nonce=_text(nonce) or "",
        owner=_text(owner) or "",
        submitted_sequence=_whole(submitted) or 0,
        committed_sequence=_whole(committed) or 0,
        log_length=_whole(entries) or 0,
        log_trimmed=_whole(trimmed) or 0,
        manifest=tuple(BlobRef(**item) for item in json.loads(blobs)) if blobs else (),
    )


def entry(position: int, row: Row) -> LoggedEntry:
    """Return the log entry in a row."""
    kind, data, job_id, sequence, token, at = row
    return LoggedEntry(
        position=position,
        kind=kind.decode(),
        data=data,
        job_id=job_id.decode(),
        sequence=int(sequence) if sequence else None,
        token=int(token),
        at=float(at),
    )


def gap(row: Row) -> ParkedKey:
    """Return the key that stands still in a row."""
    name, expected, first, parked, reason, since = row
    type, key = split(name)
    return ParkedKey(type, key, int(expected), int(first), parked, reason.decode(), float(since))


def counts(row: Row) -> StoreCounts:
    """Return the counts."""
    scheduled, queued, running, parked, committed, dead, cancelled, expired, *rest = row
    outbox, shelved, set_aside, letters, keys = rest
    return StoreCounts(
        jobs={
            JobState.SCHEDULED: scheduled,
            JobState.QUEUED: queued,
            JobState.RUNNING: running,
            JobState.PARKED: parked,
            JobState.COMMITTED: committed,
            JobState.DEAD: dead,
            JobState.CANCELLED: cancelled,
            JobState.EXPIRED: expired,
        },
        outbox=outbox,
        shelved=shelved,
        parked=set_aside,
        dead=letters,
        keys=keys,
    )


def split(name: bytes) -> tuple[str, str]:
    """Return the type and the key of a row's name."""
    type, _, key = name.partition(b"\0")
    return type.decode(), key.decode()


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode()


def _whole(value: bytes | None) -> int | None:
    return None if value is None else int(value)


def _number(value: bytes | None) -> float | None:
    return None if value is None else float(value)
