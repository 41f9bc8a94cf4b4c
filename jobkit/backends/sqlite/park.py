"""Jobs that are set aside: parked behind a gap of their key, or shelved while they run without a delivery."""

from __future__ import annotations

from dataclasses import dataclass

from jobkit.backends.sqlite import outbox
from jobkit.backends.sqlite.sequences import is_taken
from jobkit.backends.sqlite.submit import insert_foreign
from jobkit.backends.sqlite.transaction import Transaction
from jobkit.model.envelope import Envelope
from jobkit.model.fence import Receipt
from jobkit.model.layout import Layout
from jobkit.model.partition import Partition, slot_of
from jobkit.ports.in_flight import Shelved
from jobkit.ports.inspection import JobState
from jobkit.ports.notifier import job_topic
from jobkit.ports.rules import (
    CONFLICTING,
    RELEASED,
    SUPERSEDED,
    digest_of,
    key_of,
    keyless_digest_of,
    without_sequence,
)
from jobkit.ports.store import OutboxEntry

_LOOK = """
    SELECT j.number, j.digest, j.key, j.state, j.sequence, coalesce(k.committed, 0), coalesce(k.forgotten, 0)
    FROM (SELECT 1) LEFT JOIN keys k ON k.type = ? AND k.key = ? LEFT JOIN jobs j ON j.id = ?
"""


@dataclass(frozen=True, slots=True)
class _Aside:
    """What is known of a job that is to be set aside, and of its key."""

    number: int | None
    digest: bytes | None
    key: str | None
    state: str | None
    sequence: int | None
    committed: int
    forgotten: int

    def needs_no_message(self, envelope: Envelope) -> bool:
        """Tell whether it has ended, also where it was so long ago that only its sequence tells, or is not due yet."""
        if self.state is not None:
            return JobState(self.state).ended or self.state == JobState.SCHEDULED
        return envelope.sequence is not None and envelope.sequence <= self.forgotten

    def is_other(self, envelope: Envelope) -> bool:
        """Tell whether the id is that of another job."""
        same = digest_of(envelope) if self.key is not None else keyless_digest_of(envelope)
        return self.digest is not None and self.digest != same


def _look(transaction: Transaction, envelope: Envelope) -> _Aside:
    row = transaction.execute(_LOOK, (envelope.type, key_of(envelope), envelope.id)).fetchone()
    return _Aside(*row)


def park(transaction: Transaction, envelope: Envelope, *, reason: str) -> Receipt | str:
    """Set a job aside while the gap before it is open; where it has closed, put it into the outbox.

    Or return why its message is to be dead-lettered.
    """
    known = _look(transaction, envelope)
    if known.needs_no_message(envelope):
        return Receipt(envelope.id, "duplicate")
    sequence = envelope.sequence if known.number is None else known.sequence
    if sequence is None:
        raise without_sequence(envelope)
    number = known.number
    if number is None:
        if is_taken(transaction, envelope, known.committed):
            return SUPERSEDED
        number = insert_foreign(transaction, envelope, JobState.QUEUED)
    # Parked, it is kept there: the in-flight table would have its partition's leader try it again and again.
    transaction.execute("DELETE FROM inflight WHERE job = ?", (number,))
    if sequence <= known.committed + 1:
        outbox.add(transaction, number, outbox.UNTOLD)
        return Receipt(envelope.id, "requeued")
    transaction.execute("DELETE FROM outbox WHERE position = (SELECT entry FROM jobs WHERE number = ?)", (number,))
    transaction.execute(
        "INSERT INTO parked (type, key, sequence, job, reason, parked_at) VALUES (?, ?, ?, ?, ?, ?) "
        "ON CONFLICT DO NOTHING",
        (envelope.type, envelope.key, sequence, number, reason, transaction.wall),
    )
    transaction.execute("UPDATE jobs SET state = 'parked' WHERE number = ?", (number,))
    transaction.notify(job_topic(envelope.id))
    return Receipt(envelope.id, "parked")


def release_next(
    transaction: Transaction, type: str, key: str, expected: int, source: str = outbox.UNTOLD
) -> list[OutboxEntry]:
    """Move the next parked jobs, from sequence `expected` on without a gap, to the outbox in order.

    `source` is the job whose commit does it, and tells of them.

    Those below `expected` go too: their turn is over, and opening them says what becomes of them.
    """
    released = []
    for sequence, number, id in _parked(transaction, type, key):
        if sequence > expected:
            break
        expected = max(expected, sequence + 1)
        released.append(_release(transaction, number, id, source))
    return released


def resume(transaction: Transaction, type: str, key: str) -> int:
    """Move the first of the key's parked jobs to the outbox, in order; return how many."""
    first = _parked(transaction, type, key)
    for _, number, id in first:
        _release(transaction, number, id, outbox.UNTOLD)
    return len(first)


def _parked(transaction: Transaction, type: str, key: str) -> list[tuple[int, int, str]]:
    return transaction.execute(
        "SELECT p.sequence, p.job, j.id FROM parked p JOIN jobs j ON j.number = p.job "
        "WHERE p.type = ? AND p.key = ? ORDER BY p.sequence, p.job LIMIT ?",
        (type, key, RELEASED),
    ).fetchall()


def _release(transaction: Transaction, number: int, id: str, source: str) -> OutboxEntry:
    transaction.execute("DELETE FROM parked WHERE job = ?", (number,))
    transaction.execute("UPDATE jobs SET state = 'queued' WHERE number = ? AND state = 'parked'", (number,))
    transaction.notify(job_topic(id))
    return outbox.add(transaction, number, source)


_PREVIOUS = """
    SELECT number FROM inflight WHERE type = ? AND key = ? AND position < ? ORDER BY position DESC LIMIT 1
"""
_NO_POSITION = 2**63 - 1


def shelve(transaction: Transaction, envelope: Envelope, partition: Partition) -> Receipt | str:
    """Keep a job in the in-flight table until it ends; or return why its message is to be dead-lettered."""
    known = _look(transaction, envelope)
    if known.is_other(envelope):
        return CONFLICTING
    if known.needs_no_message(envelope):
        return Receipt(envelope.id, "duplicate")
    number = known.number
    if number is None:
        if is_taken(transaction, envelope, known.committed):
            return SUPERSEDED
        number = insert_foreign(transaction, envelope, JobState.QUEUED)
    _place(transaction, number, partition, envelope.key)
    return Receipt(envelope.id, "shelved")


def _place(transaction: Transaction, number: int, partition: Partition, key: str | None) -> None:
    """Put a job into a partition; as long as those of its key before it are elsewhere, it is behind them there."""
    row = transaction.execute("SELECT layout FROM layouts WHERE type = ?", (partition.type,)).fetchone()
    layout = None if row is None else Layout.unpack(row[0])
    right = partition.index
    if layout is not None and right >= layout.led:
        right = slot_of(key) % layout.partitions
    there = transaction.execute("SELECT position, number FROM inflight WHERE job = ?", (number,)).fetchone()
    position, index = there or (_NO_POSITION, None)
    before = transaction.execute(_PREVIOUS, (partition.type, key, position)).fetchone()
    previous = right if before is None else before[0]
    if index is None:
        transaction.execute(
            "INSERT INTO inflight (job, type, number, key) VALUES (?, ?, ?, ?)",
            (number, partition.type, previous, key),
        )
    elif index != right and previous == right:
        transaction.execute("UPDATE inflight SET number = ? WHERE job = ?", (right, number))


_KEYS = """
    WITH RECURSIVE found (key) AS (
        SELECT min(key) FROM inflight WHERE type = ?1 AND number = ?2 AND key > ?3
        UNION ALL
        SELECT (SELECT min(key) FROM inflight WHERE type = ?1 AND number = ?2 AND key > found.key)
        FROM found WHERE key IS NOT NULL LIMIT ?4)
    SELECT key FROM found WHERE key IS NOT NULL
"""


def shelved_keys(transaction: Transaction, partition: Partition, *, limit: int, after: str) -> list[str]:
    """Return keys that have jobs in the in-flight table, by looking at the first of each alone."""
    rows = transaction.execute(_KEYS, (partition.type, partition.index, after, limit))
    return [key for (key,) in rows]


_SHELVED = """
    SELECT i.position, e.envelope FROM inflight i JOIN envelopes e ON e.job = i.job
    WHERE i.type = ? AND i.number = ? AND i.position > ? {} ORDER BY i.position LIMIT ?
"""
_SHELVED_OF_ALL = _SHELVED.format("")
_SHELVED_OF_KEY = _SHELVED.format("AND i.key = ?")


def shelved(
    transaction: Transaction, partition: Partition, *, limit: int, key: str | None, after: int
) -> list[Shelved]:
    """Return what is in the in-flight table, oldest first."""
    behind = (partition.type, partition.index, after)
    if key is None:
        rows = transaction.execute(_SHELVED_OF_ALL, (*behind, limit))
    else:
        rows = transaction.execute(_SHELVED_OF_KEY, (*behind, key, limit))
    return [Shelved(position, Envelope.unpack(packed)) for position, packed in rows]
