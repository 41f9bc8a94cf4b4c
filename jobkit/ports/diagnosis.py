"""What `jobkit doctor` finds: what is so, how bad that is, and what to change.

The `diagnose` of a backend finds out what is so of it. It raises what keeps it from looking at all, as
`ConfigurationError` or `Unavailable`, and it writes nothing that anybody would notice.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from jobkit.errors import Unavailable

# Dates in records and logs are to be believed. Whatever expires goes by one clock only.
_CLOCK_TOLERANCE_SECONDS = 5.0


class Status(StrEnum):
    """How bad a finding is: not at all, a risk that somebody should know of, or too bad to be relied on.

    `UNREACHABLE` is a failure of its own kind, with its own exit code.
    """

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    UNREACHABLE = "unreachable"


@dataclass(frozen=True, slots=True)
class Finding:
    """One fact: how bad it is, what is so and, where it is not well, what to change.

    `part` is what it was found of; who looks at one part only leaves it to the caller.
    """

    status: Status
    what: str
    change: str = ""
    part: str = ""


def clock_finding(told: float, asked: float, answered: float) -> Finding:
    """Return what is so of a backend's wall clock that was asked, and answered, at these times by this machine's."""
    # However long the answer took.
    ahead = told - min(max(told, asked), answered)
    if abs(ahead) <= _CLOCK_TOLERANCE_SECONDS:
        return Finding(Status.OK, "its clock agrees with this machine's")
    what = f"its clock is {abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} this machine's"
    return Finding(Status.WARN, what, "have both clocks kept by NTP")


def failure(error: BaseException) -> Finding:
    """Return the finding that an error is; its message says what to change."""
    if isinstance(error, Unavailable):
        return Finding(Status.UNREACHABLE, str(error).removeprefix(f"{error.plane}: "))
    return Finding(Status.FAIL, str(error))
