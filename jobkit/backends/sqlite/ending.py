"""Ending a job everywhere: its row says how, and no other row keeps it."""

from __future__ import annotations

from jobkit.backends.sqlite import outbox, park, submit, tenants
from jobkit.backends.sqlite.transaction import Transaction
from jobkit.ports.end_notices import load_end_notices
from jobkit.ports.notifier import job_topic
from jobkit.ports.store import NewJob


def leave(transaction: Transaction, id: str, number: int, entry: int | None, *, aside: bool = True) -> None:
    """Take a job that has just ended out of all that would bring it to a worker, and wake who waits for it.

    `entry` is its entry in the outbox, if there may be one; `aside`: it may be in the in-flight table, or parked.
    """
    if entry is not None:
        transaction.execute("DELETE FROM outbox WHERE position = ?", (entry,))
    for table in ("envelopes", "inflight", "parked") if aside else ("envelopes",):
        transaction.execute(f"DELETE FROM {table} WHERE job = ?", (number,))  # noqa: S608  (names from above)
    transaction.notify(job_topic(id))


def drop_checkpoints(transaction: Transaction, number: int) -> None:
    """Drop what a job keeps of its work."""
    transaction.execute("DELETE FROM checkpoints WHERE job = ?", (number,))


def tell(transaction: Transaction, kept: str | None, state: str) -> None:
    """Accept the jobs that tell of a job's end in `state`, out of what its row keeps for that."""
    if kept is not None:
        for told in load_end_notices(kept, state, transaction.wall):
            submit.accept(transaction, NewJob(told, ordered=False), outbox.UNTOLD)


def die(transaction: Transaction, id: str, reason: str) -> str | None:
    """End a job as dead, and return the group that it is a member of.

    Where its turn was over, the next parked ones whose turn is over, too, come out.
    """
    number, type, key, sequence, entry, group, line, notices = transaction.execute(
        "UPDATE jobs SET state = 'dead', finished_at = ?, ended = ?, expires = NULL, reason = ? WHERE id = ? "
        "RETURNING number, type, key, sequence, entry, member_of, line, notices",
        (transaction.wall, transaction.now, reason, id),
    ).fetchone()
    leave(transaction, id, number, entry)
    if key is not None and sequence is not None:
        row = transaction.execute("SELECT committed FROM keys WHERE type = ? AND key = ?", (type, key)).fetchone()
        if row is not None and sequence <= row[0]:
            park.release_next(transaction, type, key, row[0] + 1)
    tenants.give_places(transaction, type, line)
    tell(transaction, notices, "dead")
    return None if group is None else str(group)
