"""The repairs that only a command may do: requeue, purge, resume, skip."""

from __future__ import annotations

from jobkit.backends.sqlite import outbox, park
from jobkit.backends.sqlite.engine import Transaction
from jobkit.backends.sqlite.submit import digest_of
from jobkit.model.envelope import Envelope
from jobkit.ports.notifier import job_topic


def requeue_dead(transaction: Transaction, number: int) -> Envelope | None:
    """Put a dead letter's envelope into the outbox as it was; where it is a job's own, the job starts afresh."""
    row = transaction.execute(
        "DELETE FROM dead WHERE number = ? AND envelope IS NOT NULL RETURNING envelope", (number,)
    ).fetchone()
    if row is None:
        return None
    envelope = Envelope.unpack(row[0])
    transaction.execute(
        "UPDATE jobs SET state = 'queued', token = NULL, nonce = NULL, owner = NULL, opens = 0, failed = 0, "
        "failures = NULL, progress = 0, message = '', started_at = NULL, finished_at = NULL, ended = NULL "
        "WHERE id = ? AND digest = ? AND state = 'dead'",
        (envelope.id, digest_of(envelope)),
    )
    outbox.add(transaction, envelope)
    transaction.notify(job_topic(envelope.id))
    return envelope


def purge_dead(transaction: Transaction, number: int) -> bool:
    """Delete a dead letter; tell whether there was one."""
    return transaction.execute("DELETE FROM dead WHERE number = ?", (number,)).rowcount > 0


def skip_gap(transaction: Transaction, type: str, key: str, *, before: int) -> int:
    """Give up the sequences below `before`, and release the parked jobs that can run then; return how many."""
    row = transaction.execute("SELECT committed FROM keys WHERE type = ? AND key = ?", (type, key)).fetchone()
    expected = 1 if row is None else row[0] + 1
    if before <= expected:
        raise ValueError(f"{type}/{key} waits for sequence {expected}: nothing can be skipped before {before}")
    transaction.execute(
        "INSERT INTO skipped (type, key, first, last) VALUES (?, ?, ?, ?)", (type, key, expected, before - 1)
    )
    # What is submitted from now on comes after what was given up.
    transaction.execute(
        "INSERT INTO keys (type, key, token, submitted, committed, touched) "
        "VALUES (?1, ?2, (SELECT floor FROM retention), ?3, ?3, ?4) "
        "ON CONFLICT DO UPDATE SET committed = excluded.committed, "
        "submitted = max(submitted, excluded.submitted), touched = excluded.touched",
        (type, key, before - 1, transaction.now),
    )
    return len(park.release_next(transaction, type, key, before))
