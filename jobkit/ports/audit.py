"""The audit log, a part of the store: what people have changed by hand, and who they were."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

# So many of the latest things that people have changed by hand are remembered.
ACTIONS_KEPT = 10_000


@dataclass(frozen=True, slots=True)
class Action:
    """One thing that a person has done. `number` counts up; `at` is Unix time in seconds, by the store's clock.

    `what` names the kind of action, `subject` what it was done to, and `detail` says what came of it, and why it was.
    """

    number: int
    at: float
    by: str
    what: str
    subject: str
    detail: str


class Audit(Protocol):
    """Who did what. Both methods may raise `Unavailable`."""

    async def note_action(
        self, *, by: str, what: str, subject: str, detail: str = "", keep: int = ACTIONS_KEPT
    ) -> Action:
        """Note an action, and return it; so many of the latest are kept, this one included, and all others forgotten.

        Where the answer is lost and it is noted again, it is there twice.
        """
        ...

    async def actions(self, *, below: int | None = None, limit: int = 100) -> Sequence[Action]:
        """Return actions with a number below `below`, the latest first."""
        ...
