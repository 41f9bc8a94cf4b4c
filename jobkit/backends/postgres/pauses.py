"""What a person has paused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jobkit.backends.postgres.sanitize import fit
from jobkit.model.pause import Pause, Scope, in_order
from jobkit.ports.rules import PAUSES_AT_MOST, keepable_note, too_many_pauses

PAUSE = "SELECT * FROM jobkit.pause($1, $2, $3, $4, $5, $6)"
RESUME = (
    "DELETE FROM jobkit.pauses WHERE type = $1 AND number = $2 AND key = $3 "
    "RETURNING type, number, key, by_whom, reason, since"
)
PAUSES = "SELECT type, number, key, by_whom, reason, since FROM jobkit.pauses"


def name(scope: Scope) -> tuple[str, int, str]:
    """Return the row of a scope."""
    return fit(scope.type), -1 if scope.partition is None else scope.partition, fit(scope.key or "")


def pause_arguments(scope: Scope, by: str, reason: str) -> tuple[object, ...]:
    """Return what the function is told."""
    return (*name(scope), keepable_note(by), keepable_note(reason), PAUSES_AT_MOST)


def paused(rows: Sequence[Mapping[str, Any]]) -> Pause:
    """Return the pause that is there now. Raises `ValueError` where there was no room for one."""
    if not rows:
        raise too_many_pauses()
    return _pause(rows[0])


def resumed(rows: Sequence[Mapping[str, Any]]) -> Pause | None:
    """Return the pause that has ended."""
    return _pause(rows[0]) if rows else None


def pauses(rows: Sequence[Mapping[str, Any]]) -> list[Pause]:
    """Return all that is paused."""
    return in_order(map(_pause, rows))


def _pause(row: Mapping[str, Any]) -> Pause:
    scope = Scope(row["type"], row["number"] if row["number"] >= 0 else None, row["key"] or None)
    return Pause(scope, row["by_whom"], row["reason"], row["since"])
