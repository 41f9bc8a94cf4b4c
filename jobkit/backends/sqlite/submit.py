"""Accepting jobs: which are new, which are known, and the sequence each new one gets."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace

from jobkit.backends.sqlite import outbox, tenants
from jobkit.backends.sqlite.sequences import next_sequence
from jobkit.backends.sqlite.transaction import Transaction
from jobkit.model.envelope import Envelope
from jobkit.model.partition import slot_of
from jobkit.model.tenancy import Tenancy
from jobkit.ports.end_notices import dump_end_notices
from jobkit.ports.inspection import JobState
from jobkit.ports.rules import HIGHEST_GIVEN, digest_of, due_of, expiry_of, keepable_trace, without_order
from jobkit.ports.store import Accepted, Conflict, Known, NewJob


def accept(transaction: Transaction, job: NewJob, source: str | None) -> Accepted | Known | Conflict:
    """Accept one job that takes no unique name here; `source` is the job whose commit it follows from."""
    envelope = job.envelope
    row = transaction.execute(
        "SELECT digest, sequence, submitted_at, trace, schema FROM jobs WHERE id = ?", (envelope.id,)
    ).fetchone()
    if row is not None:
        digest, sequence, submitted_at, trace, schema = row
        if digest != digest_of(envelope):
            return Conflict(envelope.id)
        return Known(
            replace(
                envelope,
                sequence=sequence,
                submitted_at=submitted_at,
                trace=json.loads(trace) if trace else {},
                schema=schema,
            )
        )
    if (due := due_of(job, transaction.wall)) is not None:
        return _schedule(transaction, job, due)
    if job.ordered:
        envelope = envelope.with_sequence(next_sequence(transaction, envelope))
    if job.tenancy is not None:
        return _enter_line(transaction, job, job.tenancy, source)
    position = outbox.add_next(transaction, source)
    _limit(transaction, job, insert_job(transaction, envelope, JobState.QUEUED, position))
    return Accepted(envelope, position)


def _schedule(transaction: Transaction, job: NewJob, due: float) -> Accepted:
    if job.ordered and job.envelope.key is None:
        raise without_order(job.envelope)
    number = insert_job(transaction, job.envelope, JobState.SCHEDULED)
    transaction.execute("UPDATE jobs SET due = ?, ordered = ? WHERE number = ?", (due, job.ordered, number))
    _limit(transaction, job, number)
    if job.tenancy is not None:
        _note_line(transaction, job.envelope, job.tenancy, number)
    return Accepted(job.envelope, None, due)


def _enter_line(transaction: Transaction, job: NewJob, tenancy: Tenancy, source: str | None) -> Accepted:
    number = insert_job(transaction, job.envelope, JobState.QUEUED)
    _limit(transaction, job, number)
    line = _note_line(transaction, job.envelope, tenancy, number)
    if not tenants.take_place(transaction, number, job.envelope.type, line, tenancy.places):
        return Accepted(job.envelope, None, waits=True)
    return Accepted(job.envelope, outbox.add(transaction, number, source).position)


def _note_line(transaction: Transaction, envelope: Envelope, tenancy: Tenancy, number: int) -> str:
    """Note in which line the job of a tenant waits, and return that."""
    line = tenancy.line(envelope.priority)
    transaction.execute("UPDATE jobs SET line = ?, places = ? WHERE number = ?", (line, tenancy.places, number))
    return line


def _limit(transaction: Transaction, job: NewJob, number: int) -> None:
    """Note by when the job has to have begun."""
    if (expires := expiry_of(job, transaction.wall)) is not None:
        transaction.execute("UPDATE jobs SET expires = ? WHERE number = ?", (expires, number))


def dump_trace(trace: Mapping[str, str]) -> str | None:
    """Return a trace context as a row's column."""
    return json.dumps(keepable_trace(trace)) if trace else None


def insert_job(transaction: Transaction, envelope: Envelope, state: JobState, entry: int | None = None) -> int:
    """Make a job known, keep its envelope, and return its number; `entry` is the one it has in the outbox."""
    number = transaction.execute(
        "INSERT INTO jobs (entry, id, type, key, sequence, slot, digest, state, trace, schema, submitted_at, notices) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            entry,
            envelope.id,
            envelope.type,
            envelope.key,
            envelope.sequence,
            slot_of(envelope.key),
            digest_of(envelope),
            state.value,
            dump_trace(envelope.trace),
            envelope.schema,
            # A foreign publisher may not have said when.
            envelope.submitted_at or transaction.wall,
            dump_end_notices(envelope, dump_trace),
        ),
    ).lastrowid
    assert number is not None  # noqa: S101  (narrows the type; an INSERT always has one)
    transaction.execute("INSERT INTO envelopes (job, envelope) VALUES (?, ?)", (number, envelope.pack()))
    return number


def insert_foreign(transaction: Transaction, envelope: Envelope, state: JobState) -> int:
    """Make a job known that was not submitted here, or was forgotten in a failover; return its number.

    A sequence that somebody else gave out must not be given out again here.
    """
    if envelope.key is not None and envelope.sequence is not None and envelope.sequence <= HIGHEST_GIVEN:
        transaction.execute(
            "INSERT INTO keys (type, key, token, submitted, touched) "
            "VALUES (?1, ?2, (SELECT floor FROM retention), ?3, ?4) "
            "ON CONFLICT DO UPDATE SET submitted = max(submitted, excluded.submitted)",
            (envelope.type, envelope.key, envelope.sequence, transaction.now),
        )
    return insert_job(transaction, envelope, state)
