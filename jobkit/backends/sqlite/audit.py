"""What people have changed by hand."""

from __future__ import annotations

from jobkit.backends.sqlite.transaction import Transaction
from jobkit.ports.audit import Action


def note_action(transaction: Transaction, *, by: str, what: str, subject: str, detail: str, keep: int) -> Action:
    """Note an action, and forget those that are too many."""
    said = (transaction.wall, by, what, subject, detail)
    number = transaction.execute(
        "INSERT INTO audit (at, by_whom, what, subject, detail) VALUES (?, ?, ?, ?, ?)", said
    ).lastrowid
    assert number is not None  # noqa: S101  (narrows the type; an INSERT always has one)
    transaction.execute("DELETE FROM audit WHERE number <= ?", (number - keep,))
    return Action(number, *said)


def actions(transaction: Transaction, *, below: int | None, limit: int) -> list[Action]:
    """Return actions below a number, the latest first."""
    rows = transaction.execute(
        "SELECT number, at, by_whom, what, subject, detail FROM audit WHERE number < ? ORDER BY number DESC LIMIT ?",
        ((1 << 63) - 1 if below is None else below, limit),
    )
    return [Action(*row) for row in rows]
