"""Cancelling jobs: who has yet to end ends here, and never commits."""

from __future__ import annotations

from collections.abc import Sequence

from jobkit.backends.sqlite import ending
from jobkit.backends.sqlite.engine import Transaction
from jobkit.model.fence import Receipt
from jobkit.ports.inspection import Cancellation, JobState


def cancel(transaction: Transaction, ids: Sequence[str], *, by: str, reason: str) -> list[Cancellation]:
    """End jobs that have yet to end; one answer for each."""
    return [_cancel(transaction, id, by, reason) for id in ids]


def _cancel(transaction: Transaction, id: str, by: str, reason: str) -> Cancellation:
    row = transaction.execute("SELECT state, result FROM jobs WHERE id = ?", (id,)).fetchone()
    if row is None:
        return Cancellation(id, False, None)
    state = JobState(row[0])
    if state.ended:
        return Cancellation(id, False, state, row[1])
    ending.give_up(transaction, id, JobState.CANCELLED, by=by, reason=reason)
    return Cancellation(id, True, JobState.CANCELLED)


def cancelled(transaction: Transaction, ids: Sequence[str]) -> list[Receipt]:
    """Return a receipt for each of these jobs that was cancelled."""
    found = []
    for id in ids:
        row = transaction.execute("SELECT 1 FROM jobs WHERE id = ? AND state = 'cancelled'", (id,)).fetchone()
        if row is not None:
            found.append(Receipt(id, "cancelled"))
    return found


def unfinished(
    transaction: Transaction, type: str, state: JobState, *, key: str | None, below: int | None, limit: int
) -> tuple[list[str], int | None]:
    """Return a page of a type's jobs in a state, the latest first, and where the next one begins."""
    # Both indexes that there are for it, of a type and of a key, are in the order of numbers.
    conditions = "type = ? AND ended IS NULL AND number < ?"
    values: list[object] = [type, below if below is not None else (1 << 63) - 1]
    if key is not None:
        conditions += " AND key = ?"
        values.append(key)
    looked = transaction.execute(
        f"SELECT number, id, state FROM jobs WHERE {conditions} ORDER BY number DESC LIMIT ?",  # noqa: S608
        (*values, limit),
    ).fetchall()
    found = [id for _, id, found_in in looked if found_in == state]
    return found, looked[-1][0] if len(looked) == limit else None
