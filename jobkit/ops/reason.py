"""One reason why a job has not been done yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Cause(StrEnum):
    """What keeps a job from being done, or from being done sooner."""

    ENDED = "ended"
    DUE_LATER = "due-later"
    MEMBERS = "members"
    TENANT = "tenant"
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
