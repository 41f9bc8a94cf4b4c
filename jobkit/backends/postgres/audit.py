"""What people have changed by hand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jobkit.ports.audit import Action
from jobkit.ports.rules import keepable_note

NOTE = "SELECT * FROM jobkit.note_action($1, $2, $3, $4, $5)"
ACTIONS = (
    "SELECT number, at, by_whom, what, subject, detail FROM jobkit.audit "
    "WHERE number < $1 ORDER BY number DESC LIMIT $2"
)


def note_arguments(keep: int, *said: str) -> tuple[object, ...]:
    """Return what the function is told."""
    return (*map(keepable_note, said), keep)


def below_arguments(below: int | None, limit: int) -> tuple[object, ...]:
    """Return the arguments of `ACTIONS`."""
    return (1 << 63) - 1 if below is None else below, limit


def action(row: Mapping[str, Any]) -> Action:
    """Return the action in a row."""
    return Action(row["number"], row["at"], row["by_whom"], row["what"], row["subject"], row["detail"])
