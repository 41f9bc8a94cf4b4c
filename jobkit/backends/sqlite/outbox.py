"""The outbox as rows: jobs that are accepted, until the broker has confirmed their messages.

Entries leave in the order they came. One may be published twice, when its deletion was not reached; the store drops
what is there twice.
"""

from __future__ import annotations

from collections.abc import Sequence

from jobkit.backends.sqlite.engine import Transaction
from jobkit.model.envelope import Envelope
from jobkit.ports.store import OutboxEntry


def add(transaction: Transaction, envelope: Envelope, source: str | None = None) -> OutboxEntry:
    """Append `envelope`; `source` is the job whose commit released it."""
    position = transaction.execute(
        "INSERT INTO outbox (made, source, envelope) VALUES (?, ?, ?)", (transaction.now, source, envelope.pack())
    ).lastrowid
    assert position is not None  # noqa: S101  (narrows the type; an INSERT always has one)
    return OutboxEntry(position, envelope)


def entries(transaction: Transaction, *, older_than: float, limit: int, after: int) -> list[OutboxEntry]:
    """Return the oldest entries made more than `older_than` seconds ago.

    Only entries behind the position `after` count.
    """
    found = []
    rows = transaction.execute(
        "SELECT position, made, envelope FROM outbox WHERE position > ? ORDER BY position LIMIT ?", (after, limit)
    )
    for position, made, packed in rows:
        # Store time never goes back, so all that follow are younger still.
        if transaction.now - made <= older_than:
            break
        found.append(OutboxEntry(position, Envelope.unpack(packed)))
    return found


def released_by(transaction: Transaction, source: str) -> list[OutboxEntry]:
    """Return the entries that the commit of job `source` released and nobody has confirmed yet."""
    rows = transaction.execute("SELECT position, envelope FROM outbox WHERE source = ? ORDER BY position", (source,))
    return [OutboxEntry(position, Envelope.unpack(packed)) for position, packed in rows]


def published(transaction: Transaction, positions: Sequence[int]) -> None:
    """Delete entries that the broker has confirmed."""
    transaction.executemany("DELETE FROM outbox WHERE position = ?", [(position,) for position in positions])
