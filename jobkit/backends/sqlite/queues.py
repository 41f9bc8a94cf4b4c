"""Queues as rows: plain functions from a transaction and values to an answer.

A queue has one consumer, the latest that was opened: its number, the queue's `epoch`, is checked in each statement
that acts for it. A consumer's place in the queue is its own affair and is not stored; so what was not acked is simply
there for the next one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jobkit.backends.sqlite.transaction import Transaction
from jobkit.errors import ConfigurationError, ConsumerClosed
from jobkit.model.partition import Partition
from jobkit.model.priority import Priority
from jobkit.ports.broker import QueueDepth, whole_depths
from jobkit.ports.notifier import queue_topic


@dataclass(frozen=True, slots=True)
class QueueClaim:
    """A consumer's right to a queue; `seen` is the highest position that an earlier consumer may have got."""

    partition: Partition
    queue: int
    epoch: int
    seen: int


@dataclass(frozen=True, slots=True)
class Message:
    """One message in its queue; `delayed` ones have no place in it any more, only a moment."""

    position: int
    body: bytes
    redelivered: bool
    delayed: bool


def declare(transaction: Transaction, type: str, partitions: int) -> None:
    """Make those of the first queues of `type` that are not there."""
    (there,) = transaction.execute(
        "SELECT count(*) FROM queues WHERE type = ? AND number < ? AND priority = 'normal' AND NOT removed",
        (type, partitions),
    ).fetchone()
    if there < partitions:
        transaction.execute("UPDATE queues SET removed = 0 WHERE type = ? AND number < ?", (type, partitions))
        transaction.executemany(
            "INSERT INTO queues (type, number) VALUES (?, ?) ON CONFLICT DO NOTHING",
            [(type, number) for number in range(partitions)],
        )


def remove(transaction: Transaction, partition: Partition) -> bool:
    """Show a partition's queues no more, if all of them are empty; tell whether they are not shown.

    Their rows stay: a publisher that has not heard of it still puts messages there, and they come when they are led
    again.
    """
    name = (partition.type, partition.index)
    # Ready and delayed ones have an index each.
    transaction.execute(
        "WITH these AS (SELECT id FROM queues WHERE type = ?1 AND number = ?2) "
        "UPDATE queues SET removed = 1 WHERE id IN these "
        "AND NOT EXISTS (SELECT 1 FROM messages WHERE queue IN these AND due IS NULL) "
        "AND NOT EXISTS (SELECT 1 FROM messages WHERE queue IN these AND due IS NOT NULL)",
        name,
    )
    left = transaction.execute("SELECT 1 FROM queues WHERE type = ? AND number = ? AND NOT removed", name)
    return left.fetchone() is None


def queue_of(transaction: Transaction, partition: Partition) -> int:
    """Return the id of the partition's queue, which never changes. Raises `ConfigurationError`."""
    row = transaction.execute(
        "SELECT id FROM queues WHERE type = ? AND number = ? AND priority = ?",
        (partition.type, partition.index, partition.priority.value),
    ).fetchone()
    if row is None:
        raise ConfigurationError(f"there is no queue {partition}: declare the type, with enough partitions, first")
    return int(row[0])


def made_queue_of(transaction: Transaction, partition: Partition) -> int:
    """Return the id of the partition's queue; a band's is made with its first use. Raises `ConfigurationError`."""
    if partition.priority is not Priority.NORMAL:
        transaction.execute(
            "INSERT INTO queues (type, number, priority, removed) SELECT type, number, ?, removed FROM queues "
            "WHERE type = ? AND number = ? AND priority = 'normal' ON CONFLICT DO NOTHING",
            (partition.priority.value, partition.type, partition.index),
        )
    return queue_of(transaction, partition)


def publish(transaction: Transaction, rows: Sequence[tuple[int, bytes]], topics: frozenset[str]) -> None:
    """Append bodies to queues, in this order."""
    transaction.executemany("INSERT INTO messages (queue, body) VALUES (?, ?)", rows)
    transaction.topics |= topics


def open_claim(transaction: Transaction, partition: Partition, owner: str) -> QueueClaim:
    """Make a new consumer the queue's only one."""
    queue = made_queue_of(transaction, partition)
    # Only a consumer that left in order said how far it came. What is delayed is told as delivered before anyway.
    epoch, seen = transaction.execute(
        "UPDATE queues SET epoch = epoch + 1, seen = CASE WHEN consumer IS NULL THEN seen ELSE "
        "max(seen, coalesce((SELECT max(position) FROM messages WHERE queue = ?1 AND due IS NULL), 0)) END, "
        "consumer = ?2 WHERE id = ?1 RETURNING epoch, seen",
        (queue, owner),
    ).fetchone()
    transaction.notify(queue_topic(partition))
    return QueueClaim(partition, queue, epoch, seen)


def close_claim(transaction: Transaction, claim: QueueClaim, cursor: int) -> None:
    """Leave the queue to nobody, if it is still this consumer's."""
    transaction.execute(
        "UPDATE queues SET consumer = NULL, seen = max(seen, ?) WHERE id = ? AND epoch = ?",
        (cursor, claim.queue, claim.epoch),
    )


def arrived(
    transaction: Transaction, claim: QueueClaim, cursor: int, delayed: frozenset[int], limit: int
) -> tuple[list[Message], float | None]:
    """Return what is new for the consumer, and in how many seconds the next delayed message is due if there is one.

    `cursor` is the highest position it got, `delayed` those of the delayed messages it got and has not settled.
    """
    _check(transaction, claim)
    # Delayed ones come first, or a queue that is never empty would keep them for ever. No more are read than may be
    # delivered, besides those that are delivered already.
    due = transaction.execute(
        "SELECT position, body FROM messages WHERE queue = ? AND due <= ? ORDER BY due LIMIT ?",
        (claim.queue, transaction.now, len(delayed) + limit),
    )
    found = [
        Message(position, body, redelivered=True, delayed=True) for position, body in due if position not in delayed
    ][:limit]
    (next_due,) = transaction.execute(
        "SELECT min(due) FROM messages WHERE queue = ? AND due > ?", (claim.queue, transaction.now)
    ).fetchone()
    due_in = None if next_due is None else next_due - transaction.now
    ready = transaction.execute(
        "SELECT position, body FROM messages WHERE queue = ? AND due IS NULL AND position > ? "
        "ORDER BY position LIMIT ?",
        (claim.queue, cursor, limit - len(found)),
    )
    found += [Message(position, body, position <= claim.seen, delayed=False) for position, body in ready]
    return found, due_in


def last(transaction: Transaction, claim: QueueClaim) -> int:
    """Return the highest position in the queue, 0 where it is empty."""
    _check(transaction, claim)
    (position,) = transaction.execute(
        "SELECT coalesce(max(position), 0) FROM messages WHERE queue = ? AND due IS NULL", (claim.queue,)
    ).fetchone()
    return int(position)


def ack(transaction: Transaction, claim: QueueClaim, position: int) -> None:
    """Delete a message; it is no error that it is gone."""
    deleted = transaction.execute(
        "DELETE FROM messages WHERE position = ? AND EXISTS (SELECT 1 FROM queues WHERE id = ? AND epoch = ?)",
        (position, claim.queue, claim.epoch),
    )
    if not deleted.rowcount:
        _check(transaction, claim)


def delay(transaction: Transaction, claim: QueueClaim, position: int, seconds: float) -> None:
    """Give a message a moment before which it is not delivered again."""
    _check(transaction, claim)
    transaction.execute("UPDATE messages SET due = ? WHERE position = ?", (transaction.now + seconds, position))
    transaction.notify(queue_topic(claim.partition))


def depths(transaction: Transaction) -> list[QueueDepth]:
    """Return the depth of every partition, its bands included."""
    rows = transaction.execute(
        "SELECT type, number, priority, consumer, ready, delayed, "
        "delayed - (SELECT count(*) FROM messages WHERE queue = id AND due IS NOT NULL AND due <= ?) "
        "FROM queues WHERE NOT removed ORDER BY type, number",
        (transaction.now,),
    )
    return whole_depths(
        QueueDepth(Partition(type, number, Priority(priority)), ready + delayed, due_later, consumer)
        for type, number, priority, consumer, ready, delayed, due_later in rows
    )


def _check(transaction: Transaction, claim: QueueClaim) -> None:
    row = transaction.execute("SELECT epoch, consumer FROM queues WHERE id = ?", (claim.queue,)).fetchone()
    if row is None or row[0] != claim.epoch:
        taken_by = None if row is None else row[1]
        raise ConsumerClosed(f"another consumer took the queue {claim.partition} over", taken_by=taken_by)
