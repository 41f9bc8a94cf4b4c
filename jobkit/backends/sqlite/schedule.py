"""Jobs that are to run later: they wait in an index by the time they are due, and then go to the outbox."""

from __future__ import annotations

from jobkit.backends.sqlite import outbox
from jobkit.backends.sqlite.engine import Transaction
from jobkit.backends.sqlite.submit import next_sequence
from jobkit.model.envelope import Envelope
from jobkit.ports.notifier import job_topic
from jobkit.ports.store import OutboxEntry

_DUE = """
    SELECT j.number, j.id, j.ordered, e.envelope FROM jobs j JOIN envelopes e ON e.job = j.number
    WHERE j.ended IS NULL AND j.due IS NOT NULL AND j.due <= ? ORDER BY j.due, j.number LIMIT ?
"""


def release_due(transaction: Transaction, *, limit: int) -> list[OutboxEntry]:
    """Move jobs that are due to the outbox, and give those that are ordered their sequences."""
    return [_release(transaction, *row) for row in transaction.execute(_DUE, (transaction.wall, limit)).fetchall()]


def _release(transaction: Transaction, number: int, id: str, ordered: int, packed: bytes) -> OutboxEntry:
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
    return outbox.add(transaction, number)
