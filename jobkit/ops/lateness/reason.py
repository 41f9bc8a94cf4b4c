"""One reason why a job has not been done yet, and the words that reasons are told in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from jobkit.ports.coordinator import LimitInfo


class Cause(StrEnum):
    """What keeps a job from being done, or from being done sooner."""

    ENDED = "ended"
    DUE_LATER = "due-later"
    MEMBERS = "members"
    PAUSED = "paused"
    GAP = "gap"
    EARLIER_JOBS = "earlier-jobs"
    LIMIT = "limit"
    NO_WORKER = "no-worker"
    NO_LEADER = "no-leader"
    BACKEND_AWAY = "backend-away"
    UNPUBLISHED = "unpublished"
    FAILED_BEFORE = "failed-before"
    TAKE_OVER = "take-over"
    RUNNING = "running"
    IN_LINE = "in-line"


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason. `blocks`: nothing will happen until somebody mends it, or it mends itself.

    `text` says what is so, `change` what to do about it, and `command` does it, where there is one. `target` names what
    that is done to: the scope of a pause, the id of a job.
    """

    cause: Cause
    text: str
    change: str = ""
    command: str = ""
    blocks: bool = False
    target: Mapping[str, str | int | None] = field(default_factory=dict)


def attempts(count: int) -> str:
    """Say how many attempts failed."""
    return "a failed attempt" if count == 1 else f"{count} failed attempts"


def in_use(count: int) -> str:
    """Say how much of a limit is in use."""
    return "1 is in use" if count == 1 else f"{count} are in use"


def others(count: int) -> str:
    """Say how many others wait."""
    return "one other" if count == 1 else f"{count} others"


def allowed(info: LimitInfo) -> str:
    """Say what a limit allows."""
    limit = info.limit
    return f"{limit.count} at once" if limit.per is None else f"{limit.count} in {limit.per:g} s"


def span(seconds: float) -> str:
    """Say a time of so many seconds."""
    for size, unit in ((86_400, "days"), (3_600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} seconds"
