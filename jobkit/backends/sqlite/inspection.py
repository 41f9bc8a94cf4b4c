"""What people and checks look at: rows turned into the values of `jobkit.ports.inspection`."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import Any

from jobkit.backends.sqlite.history import load_failures
from jobkit.backends.sqlite.transaction import Transaction
from jobkit.model.blob import BlobRef
from jobkit.model.envelope import Envelope
from jobkit.model.tenancy import tenant_in
from jobkit.ports.dead_letter import load_headers
from jobkit.ports.inspection import DeadLetter, JobRecord, JobState, KeyRecord, LoggedEntry, ParkedKey, StoreCounts
from jobkit.ports.rules import OPEN_LOOKED_AT, PARKED_COUNTED, PARKED_LOOKED_AT, priority_in
from jobkit.ports.take_over import load_take_overs

# The columns of `job`, from all jobs.
JOB = (
    "SELECT id, type, key, sequence, state, owner, token, opens, failures, progress, message, result, submitted_at, "
    "started_at, finished_at, ended_by, reason, nullif(due, 9e999), expires, unique_name, "
    "(SELECT substr(envelope, 1, instr(envelope, x'0A') - 1) FROM envelopes WHERE job = number), member_of, "
    "(SELECT parent FROM job_groups g WHERE g.id = jobs.member_of), line, ended IS NULL AND placed IS 0, trace, "
    "taken_over FROM jobs "
)
_OF_THESE = "WHERE id IN (SELECT value FROM json_each(?))"
_STATES = f"SELECT id, state FROM jobs {_OF_THESE}"  # noqa: S608  (names from above)
_MOMENTS = f"SELECT id, state, progress, message, failed FROM jobs {_OF_THESE}"  # noqa: S608
_DEAD = "SELECT number, id, type, key, sequence, reason, detail, failures, raw, died_at, headers FROM dead "


def records(transaction: Transaction, ids: Sequence[str]) -> dict[str, JobRecord]:
    """Return jobs by id."""
    rows = transaction.execute(JOB + _OF_THESE, (json.dumps(list(ids)),))
    return {row[0]: job(row) for row in rows}


def envelope(transaction: Transaction, id: str) -> Envelope | None:
    """Return the envelope of a job that has yet to end."""
    row = transaction.execute(
        "SELECT envelope FROM envelopes WHERE job = (SELECT number FROM jobs WHERE id = ?)", (id,)
    ).fetchone()
    return None if row is None else Envelope.unpack(row[0])


def states(transaction: Transaction, ids: Sequence[str]) -> dict[str, JobState]:
    """Return how far jobs have come."""
    rows = transaction.execute(_STATES, (json.dumps(list(ids)),))
    return {id: JobState(state) for id, state in rows}


def number(transaction: Transaction, id: str) -> int | None:
    """Return the number of a job."""
    row = transaction.execute("SELECT number FROM jobs WHERE id = ?", (id,)).fetchone()
    return None if row is None else int(row[0])


_RUNNING = f"""{JOB}
    WHERE state = 'running' AND number IN (
        SELECT number FROM jobs WHERE type = ? AND key = ? AND ended IS NULL ORDER BY sequence, number LIMIT ?)
"""  # noqa: S608  (names from above)


def running(transaction: Transaction, keys: Collection[tuple[str, str]]) -> list[JobRecord]:
    """Return the jobs that run of these keys."""
    found = [transaction.execute(_RUNNING, (*of, OPEN_LOOKED_AT)) for of in keys]
    return [job(row) for rows in found for row in rows]


def overdue(transaction: Transaction, *, limit: int) -> list[JobRecord]:
    """Return jobs that are due and scheduled still."""
    rows = transaction.execute(
        JOB + "WHERE ended IS NULL AND due IS NOT NULL AND due <= ? ORDER BY due, number LIMIT ?",
        (transaction.wall, limit),
    )
    return [job(row) for row in rows]


def dead(transaction: Transaction, *, type: str | None, limit: int, after: int) -> list[DeadLetter]:
    """Return dead letters above `after`."""
    of_type, values = ("", ()) if type is None else ("AND type = ? ", (type,))
    rows = transaction.execute(_DEAD + f"WHERE number > ? {of_type}ORDER BY number LIMIT ?", (after, *values, limit))
    return [_dead(row) for row in rows]


def dead_letter(transaction: Transaction, number: int) -> DeadLetter | None:
    """Return one dead letter."""
    row = transaction.execute(_DEAD + "WHERE number = ?", (number,)).fetchone()
    return None if row is None else _dead(row)


_NEXT_KEY = "SELECT type, key FROM parked WHERE type = ? AND key > ? ORDER BY key LIMIT 1"
_NEXT_TYPE = "SELECT type, key FROM parked WHERE type > ? ORDER BY type, key LIMIT 1"
_GAP = """
    SELECT p.type, p.key,
        coalesce((SELECT committed FROM keys k WHERE k.type = p.type AND k.key = p.key), 0) + 1,
        p.sequence,
        (SELECT count(*) FROM (SELECT 1 FROM parked c WHERE c.type = p.type AND c.key = p.key LIMIT ?3)),
        p.reason,
        (SELECT min(parked_at) FROM (SELECT parked_at FROM parked s WHERE s.type = p.type AND s.key = p.key
                                     ORDER BY sequence, job LIMIT ?4))
    FROM parked p WHERE p.type = ?1 AND p.key = ?2 ORDER BY p.sequence, p.job LIMIT 1
"""


def letters(transaction: Transaction, id: str, *, limit: int) -> list[DeadLetter]:
    """Return the dead letters of a job."""
    rows = transaction.execute(_DEAD + "WHERE id = ? ORDER BY number LIMIT ?", (id, limit))
    return [_dead(row) for row in rows]


def gaps(transaction: Transaction, *, after: tuple[str, str], limit: int) -> list[ParkedKey]:
    """Return the keys above `after` with parked jobs, in order, by looking at the first ones of each alone."""
    found: list[ParkedKey] = []
    type, key = after
    # One after another: a query for the next pair begins with all rows of the last one.
    while len(found) < limit and (
        row := transaction.execute(_NEXT_KEY, (type, key)).fetchone()
        or transaction.execute(_NEXT_TYPE, (type,)).fetchone()
    ):
        type, key = row
        found += filter(None, [gap(transaction, type, key)])
    return found


def gap(transaction: Transaction, type: str, key: str) -> ParkedKey | None:
    """Return what a key stands still for."""
    row = transaction.execute(_GAP, (type, key, PARKED_COUNTED, PARKED_LOOKED_AT)).fetchone()
    return None if row is None else ParkedKey(*row)


_KEY = (
    "SELECT type, key, token, nonce, owner, submitted, committed, log_length, log_trimmed, blobs "
    "FROM keys LEFT JOIN manifests USING (type, key) "
)


def key_record(transaction: Transaction, type: str, key: str) -> KeyRecord | None:
    """Return one key."""
    row = transaction.execute(_KEY + "WHERE type = ? AND key = ?", (type, key)).fetchone()
    return None if row is None else _key(row)


def keys(transaction: Transaction, *, after: tuple[str, str], limit: int) -> list[KeyRecord]:
    """Return keys above `after`, in order."""
    rows = transaction.execute(_KEY + "WHERE (type, key) > (?, ?) ORDER BY type, key LIMIT ?", (*after, limit))
    return [_key(row) for row in rows]


def log(transaction: Transaction, type: str, key: str, *, after: int, limit: int) -> list[LoggedEntry]:
    """Return entries of a key's log above `after`, in order."""
    rows = transaction.execute(
        "SELECT position, kind, data, job_id, sequence, token, at FROM log "
        "WHERE type = ? AND key = ? AND position > ? ORDER BY position LIMIT ?",
        (type, key, after, limit),
    )
    return [LoggedEntry(*row) for row in rows]


def record(transaction: Transaction, type: str, key: str, name: str) -> bytes | None:
    """Return one committed record."""
    row = transaction.execute(
        "SELECT value FROM records WHERE type = ? AND key = ? AND name = ?", (type, key, name)
    ).fetchone()
    return None if row is None else bytes(row[0])


def counts(transaction: Transaction) -> StoreCounts:
    """Return the tallies that triggers keep."""
    tallies = dict(transaction.execute("SELECT name, n FROM tallies").fetchall())
    return StoreCounts(
        jobs={state: tallies[f"state {state.value}"] for state in JobState},
        outbox=tallies["outbox"],
        shelved=tallies["inflight"],
        parked=tallies["parked"],
        dead=tallies["dead"],
        keys=tallies["keys"],
    )


def moments(transaction: Transaction, ids: Sequence[str]) -> dict[str, tuple[JobState, float, str, int]]:
    """Return what a waiter compares to see that a job ended or progressed, by id."""
    rows = transaction.execute(_MOMENTS, (json.dumps(list(ids)),))
    return {id: (JobState(state), *rest) for id, state, *rest in rows}


def job(row: tuple[Any, ...]) -> JobRecord:
    """Return the job in a row."""
    (
        id,
        type,
        key,
        sequence,
        state,
        owner,
        token,
        opens,
        failures,
        *rest,
        head,
        group,
        parent,
        line,
        waits,
        trace,
        over,
    ) = row
    fence = (owner, token, opens)
    history = load_failures(failures)
    belongs = (priority_in(head), group, parent, tenant_in(line), bool(waits))
    told = (json.loads(trace) if trace else {}, load_take_overs((over or "").splitlines()))
    return JobRecord(id, type, key or "", sequence, JobState(state), *fence, history, *[*rest, *belongs, *told])


def _dead(row: tuple[Any, ...]) -> DeadLetter:
    number, id, type, key, sequence, reason, detail, failures, raw, died_at, headers = row
    history = load_failures(failures)
    return DeadLetter(number, id, type, key, sequence, reason, detail, history, raw, died_at, load_headers(headers))


def _key(row: tuple[Any, ...]) -> KeyRecord:
    type, key, token, nonce, owner, submitted, committed, log_length, log_trimmed, blobs = row
    manifest = tuple(BlobRef(**item) for item in json.loads(blobs)) if blobs else ()
    return KeyRecord(type, key, token, nonce, owner, submitted, committed, log_length, manifest, log_trimmed)
