"""Releasing a job that is scheduled: it goes to the outbox, with its key's next sequence where it is ordered.

Or it goes on waiting, where its tenant has no place for it.
"""

from __future__ import annotations

from collections.abc import Iterable

from jobkit.backends.sqlite import outbox, tenants
from jobkit.backends.sqlite.sequences import next_sequence
from jobkit.backends.sqlite.transaction import Transaction
from jobkit.model.envelope import Envelope
from jobkit.ports.notifier import job_topic
from jobkit.ports.store import OutboxEntry


def _release(
    transaction: Transaction, number: int, id: str, ordered: int, packed: bytes, source: str | None
) -> OutboxEntry | None:
    """Queue the job of that number, and return its entry, if it has one; `source` is the job whose commit did it."""
    sequence = None
    if ordered:
        envelope = Envelope.unpack(packed)
        sequence = next_sequence(transaction, envelope)
        envelope = envelope.with_sequence(sequence)
        transaction.execute("UPDATE envelopes SET envelope = ? WHERE job = ?", (envelope.pack(), number))
    type, line, places = transaction.execute(
        "UPDATE jobs SET state = 'queued', due = NULL, ordered = NULL, sequence = ? WHERE number = ? "
        "RETURNING type, line, places",
        (sequence, number),
    ).fetchone()
    transaction.notify(job_topic(id))
    if line is not None and not tenants.take_place(transaction, number, type, line, places):
        return None
    return outbox.add(transaction, number, source)


def released(
    transaction: Transaction, rows: Iterable[tuple[int, str, int, bytes]], source: str | None = None
) -> list[OutboxEntry]:
    """Do so with jobs by number, id, whether it is ordered, and envelope; return the entries that there are."""
    entries = [_release(transaction, *row, source) for row in rows]
    return [entry for entry in entries if entry is not None]
