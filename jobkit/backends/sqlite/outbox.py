"""The outbox as rows: jobs that are accepted, until the broker has confirmed their messages or they have ended.

Entries leave in the order they came, and a job has one at most. One may be published twice, when its deletion was not
reached; the store drops what is there twice.
"""

from __future__ import annotations

from collections.abc import Sequence

from jobkit.backends.sqlite.transaction import Transaction
from jobkit.model.envelope import Envelope
from jobkit.ports.store import OutboxEntry

# The source of an entry that whoever made it is not told of: `take_untold` hands it to a worker.
UNTOLD = ""

_ENTRY = "SELECT o.position, o.made, e.envelope FROM outbox o JOIN envelopes e ON e.job = o.job "


def add_next(transaction: Transaction, source: str | None) -> int:
    """Append the job that will be inserted next, and return the entry's position.

    `source` is the job whose commit released the entry. The number of the next job is one above the highest.
    """
    position = transaction.execute(
        "INSERT INTO outbox (made, source, job) VALUES (?, ?, (SELECT coalesce(max(number), 0) + 1 FROM jobs))",
        (transaction.now, source),
    ).lastrowid
    assert position is not None  # noqa: S101  (narrows the type; an INSERT always has one)
    return position


def add(transaction: Transaction, job: int, source: str | None = None) -> OutboxEntry:
    """Append the job of that number once more, in the place of an entry that it may have; return the new one.

    Its `source` is `UNTOLD` where nobody will publish the entry that is returned.
    """
    transaction.execute("DELETE FROM outbox WHERE position = (SELECT entry FROM jobs WHERE number = ?)", (job,))
    (position,) = transaction.execute(
        "INSERT INTO outbox (made, source, job) VALUES (?, ?, ?) RETURNING position", (transaction.now, source, job)
    ).fetchone()
    transaction.execute("UPDATE jobs SET entry = ? WHERE number = ?", (position, job))
    (packed,) = transaction.execute("SELECT envelope FROM envelopes WHERE job = ?", (job,)).fetchone()
    return OutboxEntry(position, Envelope.unpack(packed))


def entries(transaction: Transaction, *, older_than: float, limit: int, after: int) -> list[OutboxEntry]:
    """Return the oldest entries made more than `older_than` seconds ago.

    Only entries behind the position `after` count.
    """
    found = []
    for position, made, packed in transaction.execute(
        _ENTRY + "WHERE o.position > ? ORDER BY o.position LIMIT ?", (after, limit)
    ):
        # Store time never goes back, so all that follow are younger still.
        if transaction.now - made <= older_than:
            break
        found.append(OutboxEntry(position, Envelope.unpack(packed)))
    return found


def take_untold(transaction: Transaction, *, limit: int) -> list[OutboxEntry]:
    """Return entries that nobody was told of, oldest first, and have it that somebody was."""
    rows = transaction.execute(_ENTRY + "WHERE o.source = ? ORDER BY o.position LIMIT ?", (UNTOLD, limit)).fetchall()
    transaction.executemany(
        "UPDATE outbox SET source = NULL WHERE position = ?", [(position,) for position, *_ in rows]
    )
    return [OutboxEntry(position, Envelope.unpack(packed)) for position, _, packed in rows]


def released_by(transaction: Transaction, source: str) -> list[OutboxEntry]:
    """Return the entries that the commit of job `source` released and nobody has confirmed yet."""
    rows = transaction.execute(_ENTRY + "WHERE o.source = ? ORDER BY o.position", (source,))
    return [OutboxEntry(position, Envelope.unpack(packed)) for position, _, packed in rows]


def published(transaction: Transaction, positions: Sequence[int]) -> None:
    """Delete entries that the broker has confirmed."""
    transaction.executemany("DELETE FROM outbox WHERE position = ?", [(position,) for position in positions])
