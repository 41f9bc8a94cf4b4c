"""What a reading finds wrong, and what may be done about it without a person's judgement."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from jobkit.model.invariant import Invariant


class Action(StrEnum):
    """A repair that cannot make anything worse, whatever runs meanwhile."""

    REBUILD = "rebuild"
    PUBLISH = "publish"
    REPUBLISH = "republish"


@dataclass(frozen=True, slots=True)
class Repair:
    """One repair: of the projection `name` of a key, of the outbox as a whole, or of a `partition` of the type."""

    action: Action
    type: str = ""
    key: str = ""
    name: str = ""
    partition: int | None = None

    @property
    def what(self) -> str:
        """What it does, as a plan says it."""
        if self.action is Action.PUBLISH:
            return "publish what is left in the outbox"
        if self.action is Action.REPUBLISH:
            return f"publish the jobs of {self.type}/{self.partition} again that have no message"
        return f"make projection {self.name!r} of {self.type}/{self.key} anew from its log"


@dataclass(frozen=True, slots=True)
class Violation:
    """Something that must not be. `where` names the key or job.

    Without a `repair` it is for a person to decide: docs/operating.md says what to look at.
    """

    invariant: Invariant
    where: str
    problem: str
    repair: Repair | None = None
