"""Jobs that are set aside: parked behind a gap of their key, or shelved while they run without a delivery."""

from __future__ import annotations

from jobkit.backends.sqlite import outbox
from jobkit.backends.sqlite.engine import Transaction
from jobkit.backends.sqlite.open import key_of
from jobkit.backends.sqlite.submit import insert_job
from jobkit.model.envelope import Envelope
from jobkit.model.fence import Receipt
from jobkit.model.partition import Partition
from jobkit.ports.inspection import JobState
from jobkit.ports.notifier import job_topic
from jobkit.ports.store import OutboxEntry, Shelved


def park(transaction: Transaction, envelope: Envelope, *, reason: str) -> Receipt:
    """Set a job aside while the gap before it is open; where it has closed, put it into the outbox."""
    key = key_of(envelope)
    state, sequence, committed = transaction.execute(
        "SELECT j.state, j.sequence, coalesce(k.committed, 0) FROM (SELECT 1) "
        "LEFT JOIN keys k ON k.type = ? AND k.key = ? LEFT JOIN jobs j ON j.id = ?",
        (envelope.type, key, envelope.id),
    ).fetchone()
    if state is None:
        sequence = envelope.sequence
    if sequence is None:
        raise ValueError(f"job {envelope.id} has no sequence, so there is no gap to park it behind")
    if state in (JobState.COMMITTED, JobState.DEAD):
        return Receipt(envelope.id, "duplicate")
    if state is None:
        insert_job(transaction, envelope, JobState.QUEUED)
    # Parked, it is kept there: the in-flight table would have its partition's leader try it again and again.
    transaction.execute("DELETE FROM inflight WHERE id = ?", (envelope.id,))
    if sequence <= committed + 1:
        outbox.add(transaction, envelope)
        return Receipt(envelope.id, "requeued")
    transaction.execute(
        "INSERT INTO parked (type, key, sequence, id, reason, parked_at, envelope) VALUES (?, ?, ?, ?, ?, ?, ?) "
        "ON CONFLICT DO NOTHING",
        (envelope.type, key, sequence, envelope.id, reason, transaction.wall, envelope.pack()),
    )
    transaction.execute("UPDATE jobs SET state = 'parked' WHERE id = ?", (envelope.id,))
    transaction.notify(job_topic(envelope.id))
    return Receipt(envelope.id, "parked")


def release_next(
    transaction: Transaction, type: str, key: str, expected: int, source: str | None = None
) -> list[OutboxEntry]:
    """Move the parked jobs that can run now, from sequence `expected` on without a gap, to the outbox in order.

    Those below `expected` go too: their turn is over, and opening them says what becomes of them.
    """
    released = []
    rows = transaction.execute(
        "SELECT sequence, id, envelope FROM parked WHERE type = ? AND key = ? ORDER BY sequence", (type, key)
    )
    for sequence, id, packed in rows.fetchall():
        if sequence > expected:
            break
        expected = max(expected, sequence + 1)
        released.append(_release(transaction, id, packed, source))
    return released


def release_all(transaction: Transaction, type: str, key: str) -> int:
    """Move all of the key's parked jobs to the outbox, in order; return how many."""
    rows = transaction.execute(
        "SELECT id, envelope FROM parked WHERE type = ? AND key = ? ORDER BY sequence", (type, key)
    ).fetchall()
    for id, packed in rows:
        _release(transaction, id, packed, None)
    return len(rows)


def _release(transaction: Transaction, id: str, packed: bytes, source: str | None) -> OutboxEntry:
    transaction.execute("DELETE FROM parked WHERE id = ?", (id,))
    transaction.execute("UPDATE jobs SET state = 'queued' WHERE id = ?", (id,))
    transaction.notify(job_topic(id))
    return outbox.add(transaction, Envelope.unpack(packed), source)


def shelve(transaction: Transaction, envelope: Envelope, partition: Partition) -> Receipt:
    """Keep an envelope in the in-flight table until its job ends; one that has ended is not kept."""
    transaction.execute(
        "INSERT INTO inflight (id, type, number, envelope) SELECT ?1, ?2, ?3, ?4 "
        "WHERE NOT EXISTS (SELECT 1 FROM jobs WHERE id = ?1 AND state IN ('committed', 'dead')) ON CONFLICT DO NOTHING",
        (envelope.id, partition.type, partition.index, envelope.pack()),
    )
    return Receipt(envelope.id, "shelved")


def shelved(transaction: Transaction, partition: Partition, *, limit: int) -> list[Shelved]:
    """Return what is in the in-flight table, oldest first."""
    rows = transaction.execute(
        "SELECT position, envelope FROM inflight WHERE type = ? AND number = ? ORDER BY position LIMIT ?",
        (partition.type, partition.index, limit),
    )
    return [Shelved(position, Envelope.unpack(packed)) for position, packed in rows]
