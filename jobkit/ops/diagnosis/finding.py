"""What `jobkit doctor` reports: lines, each of which says what is so and, where it is not well, what to change."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from jobkit.errors import Unavailable


class Status(StrEnum):
    """What came out of a check. `UNREACHABLE` is a failure of its own kind, with its own exit code."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    UNREACHABLE = "unreachable"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report: which part, what is so, and, where it is not well, what to change."""

    part: str
    status: Status
    what: str
    change: str = ""


def failed(part: str, error: BaseException) -> Finding:
    """Return the finding that an error is; its message says what to change."""
    if isinstance(error, Unavailable):
        return Finding(part, Status.UNREACHABLE, str(error).removeprefix(f"{error.plane}: "))
    return Finding(part, Status.FAIL, str(error))
