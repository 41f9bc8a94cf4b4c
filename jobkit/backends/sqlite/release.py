"""Releasing a job that is scheduled: it goes to the outbox, with its key's next sequence where it is ordered."""

from __future__ import annotations

from jobkit.backends.sqlite import outbox
from jobkit.backends.sqlite.sequences import next_sequence
from jobkit.backends.sqlite.transaction import Transaction
from jobkit.model.envelope import Envelope
from jobkit.ports.notifier import job_topic
from jobkit.ports.store import OutboxEntry


def release(
    transaction: Transaction, number: int, id: str, ordered: int, packed: bytes, source: str | None = None
) -> OutboxEntry:
    """Queue the job of that number, and return its entry; `source` is the job whose commit released it."""
    sequence = None
    if ordered:
        envelope = Envelope.unpack(packed)
        sequence = next_sequence(transaction, envelope)
        envelope = envelope.with_sequence(sequence)
        transaction.execute("UPDATE envelopes SET envelope = ? WHERE job = ?", (envelope.pack(), number))
    transaction.execute(
        "UPDATE jobs SET state = 'queued', due = NULL, ordered = NULL, sequence = ? WHERE number = ?",
        (sequence, number),
    )
    transaction.notify(job_topic(id))
    return outbox.add(transaction, number, source)
