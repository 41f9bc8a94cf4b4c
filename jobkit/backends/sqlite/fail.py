"""Attempts that failed, jobs that are given up, and messages that never were jobs."""

from __future__ import annotations

import hashlib

from jobkit.backends.sqlite.engine import Transaction
from jobkit.backends.sqlite.history import dump_failures, is_noted, load_failures
from jobkit.backends.sqlite.open import key_of, refusal
from jobkit.backends.sqlite.submit import digest_of
from jobkit.model.envelope import Envelope
from jobkit.model.fence import Fence, Receipt
from jobkit.ports.inspection import JobState
from jobkit.ports.notifier import job_topic
from jobkit.ports.store import Failure, Refused


def fail(transaction: Transaction, envelope: Envelope, fence: Fence, failure: Failure) -> int | Refused:
    """Add a failed attempt to the job's history and return how many it has."""
    refused = refusal(transaction, envelope.type, key_of(envelope), fence)
    if refused is not None:
        return refused
    row = transaction.execute("SELECT failed, failures FROM jobs WHERE id = ?", (envelope.id,)).fetchone()
    if row is None:
        raise ValueError(f"job {envelope.id} was never opened, so no attempt of it can have failed")
    failed, stored = row
    failures = load_failures(stored)
    if is_noted(failures, failure.attempt):
        return int(failed)
    transaction.execute(
        "UPDATE jobs SET failed = failed + 1, failures = ? WHERE id = ?",
        (dump_failures((*failures, failure)), envelope.id),
    )
    transaction.notify(job_topic(envelope.id))
    return int(failed) + 1


def bury(transaction: Transaction, envelope: Envelope, fence: Fence, *, reason: str, detail: str) -> Receipt | Refused:
    """Dead-letter a job with its history. One that has ended already is left as it is."""
    key = key_of(envelope)
    row = transaction.execute("SELECT state, sequence, failures FROM jobs WHERE id = ?", (envelope.id,)).fetchone()
    if row is not None and row[0] in (JobState.COMMITTED, JobState.DEAD):
        return Receipt(envelope.id, "duplicate")
    refused = refusal(transaction, envelope.type, key, fence)
    if refused is not None:
        return refused
    if row is None:
        raise ValueError(f"job {envelope.id} was never opened, so it cannot be buried as a job; bury its message")
    _, sequence, failures = row
    transaction.execute(
        "INSERT INTO dead (id, type, key, sequence, reason, detail, failures, raw, envelope, died_at) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            envelope.id,
            envelope.type,
            key,
            sequence,
            reason,
            detail,
            failures,
            envelope.body,
            envelope.pack(),
            transaction.wall,
        ),
    )
    _end(transaction, envelope.id)
    return Receipt(envelope.id, "dead")


def bury_message(
    transaction: Transaction, raw: bytes, envelope: Envelope | None, *, reason: str, detail: str
) -> Receipt:
    """Dead-letter a message; the same message for the same reason makes one letter, so that asking again is safe."""
    packed = b"" if envelope is None else envelope.pack()
    fingerprint = hashlib.sha256(b"\0".join((reason.encode(), len(raw).to_bytes(8, "big"), raw, packed))).digest()
    transaction.execute(
        "INSERT INTO dead (id, type, key, sequence, reason, detail, raw, envelope, died_at, fingerprint) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        (
            envelope.id if envelope else None,
            envelope.type if envelope else None,
            envelope.key if envelope else None,
            envelope.sequence if envelope else None,
            reason,
            detail,
            raw,
            packed if envelope else None,
            transaction.wall,
            fingerprint,
        ),
    )
    if envelope is not None:
        # Else its partition's leader would adopt the same message again and again.
        transaction.execute("DELETE FROM inflight WHERE id = ? AND envelope = ?", (envelope.id, packed))
        _end_if_passed(transaction, envelope)
    return Receipt(envelope.id if envelope else "", "dead")


def _end_if_passed(transaction: Transaction, envelope: Envelope) -> None:
    """End the job itself where its turn is over, skipped or taken: else it would be shown as waiting for ever."""
    row = transaction.execute(
        "SELECT j.sequence <= k.committed FROM jobs j JOIN keys k ON k.type = j.type AND k.key = j.key "
        "WHERE j.id = ? AND j.digest = ? AND j.state NOT IN ('committed', 'dead')",
        (envelope.id, digest_of(envelope)),
    ).fetchone()
    if row is not None and row[0]:
        _end(transaction, envelope.id)


def _end(transaction: Transaction, id: str) -> None:
    transaction.execute(
        "UPDATE jobs SET state = 'dead', finished_at = ?, ended = ? WHERE id = ?",
        (transaction.wall, transaction.now, id),
    )
    # What has ended is neither in flight nor parked, however it came to its end.
    transaction.execute("DELETE FROM inflight WHERE id = ?", (id,))
    transaction.execute("DELETE FROM parked WHERE id = ?", (id,))
    transaction.notify(job_topic(id))


def progress(transaction: Transaction, envelope: Envelope, fence: Fence, *, fraction: float, message: str) -> bool:
    """Note how far a running job is, if `fence` is the mark; tell whether it was."""
    if refusal(transaction, envelope.type, key_of(envelope), fence) is not None:
        return False
    transaction.execute(
        "UPDATE jobs SET progress = ?, message = ? WHERE id = ? AND state = 'running'", (fraction, message, envelope.id)
    )
    transaction.notify(job_topic(envelope.id))
    return True
