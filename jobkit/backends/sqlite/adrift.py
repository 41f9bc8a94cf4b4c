"""Jobs that nothing in the store brings to a worker: without a message, they wait until they are published again."""

from __future__ import annotations

from jobkit.backends.sqlite.transaction import Transaction
from jobkit.model.envelope import Envelope
from jobkit.model.partition import Partition
from jobkit.ports.adrift import Adrift
from jobkit.ports.inspection import JobState

# Looks at the index alone, for the jobs of other partitions.
_LOOKED_AT = """
    SELECT number, slot % ? = ? FROM jobs
    WHERE type = ? AND ended IS NULL AND due IS NULL AND number > ? AND number <= ? ORDER BY number LIMIT ?
"""
_ADRIFT = """
    SELECT j.number, e.envelope, j.state, j.owner, coalesce(j.delayed_until > ?, 0)
    FROM jobs j JOIN envelopes e ON e.job = j.number
    WHERE j.number = ? AND j.state <> 'parked'
    AND NOT EXISTS (SELECT 1 FROM outbox o WHERE o.position = j.entry)
    AND NOT EXISTS (SELECT 1 FROM inflight i WHERE i.job = j.number)
"""


def horizon(transaction: Transaction) -> int:
    """Return the highest number of a job."""
    (number,) = transaction.execute("SELECT coalesce(max(number), 0) FROM jobs").fetchone()
    return int(number)


def adrift(
    transaction: Transaction, partition: Partition, partitions: int, *, after: int, upto: int, limit: int
) -> tuple[list[Adrift], int | None]:
    """Return a page of jobs that are adrift, and where the next one begins."""
    looked = transaction.execute(
        _LOOKED_AT, (partitions, partition.index, partition.type, after, upto, limit)
    ).fetchall()
    found = []
    for number in (number for number, ours in looked if ours):
        rows = transaction.execute(_ADRIFT, (transaction.now, number))
        found += [
            Adrift(row[0], Envelope.unpack(row[1]), row[2] == JobState.RUNNING, row[3], bool(row[4])) for row in rows
        ]
    return found, looked[-1][0] if len(looked) == limit else None
