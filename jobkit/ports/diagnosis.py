"""What `jobkit doctor` is told of a backend: facts, how bad each is, and what to change.

Each backend has an `examination.py` whose `examine` finds them out. It raises what keeps it from looking at all, as
`ConfigurationError` or `Unavailable`, and it writes nothing that anybody would notice.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How bad a finding is: not at all, a risk that somebody should know of, or too bad to be relied on."""

    FINE = "fine"
    RISK = "risk"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class Finding:
    """One fact of a backend, how bad it is for what is kept there, and, where it is not fine, what to change."""

    severity: Severity
    what: str
    change: str = ""
