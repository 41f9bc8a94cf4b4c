"""How urgent a job is among those that wait for the same workers."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal


class Priority(StrEnum):
    """Which of a type's waiting jobs are begun first. Every job that says nothing else is `NORMAL`."""

    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"

    @property
    def rank(self) -> int:
        """Its place: what has a lower one is begun first."""
        return _RANKS[self]


_RANKS = {priority: rank for rank, priority in enumerate(Priority)}
# What programs say.
PriorityName = Priority | Literal["high", "normal", "low"]
# The priorities whose jobs wait in bands of their own, beside the queue that every partition has.
BANDS = (Priority.HIGH, Priority.LOW)


def priority_of(text: object) -> Priority:
    """Return the priority of that name. Raises `ValueError` naming those there are."""
    try:
        return Priority(text)  # type: ignore[arg-type]  # what is no text is refused here
    except ValueError:
        names = ", ".join(repr(one.value) for one in Priority)
        raise ValueError(f"priority must be one of {names}, not {text!r}") from None


def chosen_priority(type: str, asked: str | None, declared: Priority | None) -> Priority:
    """Return the priority of a job that is submitted with the one asked for, or with none, to a type that declares one.

    Raises `ValueError` where it is none, or the type knows no priorities.
    """
    wanted = None if asked is None else priority_of(asked)
    if declared is None and wanted not in (None, Priority.NORMAL):
        raise ValueError(
            f"job type {type!r} knows no priorities: declare them with @processor(..., priority='normal'), and start "
            "its workers anew"
        )
    return wanted or declared or Priority.NORMAL
