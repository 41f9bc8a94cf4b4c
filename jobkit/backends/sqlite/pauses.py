"""What a person has paused."""

from __future__ import annotations

from typing import Any

from jobkit.backends.sqlite.transaction import Transaction
from jobkit.model.pause import Pause, Scope, in_order
from jobkit.ports.rules import PAUSES_AT_MOST, too_many_pauses

_PAUSE = "SELECT type, number, key, by_whom, reason, since FROM pauses "
_OF_SCOPE = "WHERE type = ? AND number = ? AND key = ?"


def pause(transaction: Transaction, scope: Scope, *, by: str, reason: str) -> Pause:
    """Pause a scope, unless it is."""
    found = _find(transaction, scope)
    if found is not None:
        return found
    if transaction.execute("SELECT count(*) FROM pauses").fetchone()[0] >= PAUSES_AT_MOST:
        raise too_many_pauses()
    transaction.execute(
        "INSERT INTO pauses (type, number, key, by_whom, reason, since) VALUES (?, ?, ?, ?, ?, ?)",
        (*_name(scope), by, reason, transaction.wall),
    )
    return Pause(scope, by, reason, transaction.wall)


def resume(transaction: Transaction, scope: Scope) -> Pause | None:
    """End the pause of a scope."""
    found = _find(transaction, scope)
    transaction.execute(f"DELETE FROM pauses {_OF_SCOPE}", _name(scope))  # noqa: S608  (the condition above)
    return found


def pauses(transaction: Transaction) -> list[Pause]:
    """Return all that is paused."""
    return in_order(_pause(row) for row in transaction.execute(_PAUSE))


def _find(transaction: Transaction, scope: Scope) -> Pause | None:
    row = transaction.execute(_PAUSE + _OF_SCOPE, _name(scope)).fetchone()
    return None if row is None else _pause(row)


def _name(scope: Scope) -> tuple[str, int, str]:
    return scope.type, -1 if scope.partition is None else scope.partition, scope.key or ""


def _pause(row: tuple[Any, ...]) -> Pause:
    type, number, key, by, reason, since = row
    return Pause(Scope(type, number if number >= 0 else None, key or None), by, reason, since)
