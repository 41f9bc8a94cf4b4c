"""A job's failed attempts as a row keeps them, the latest of them: one line of JSON for each, oldest first."""

from __future__ import annotations

from collections.abc import Sequence

from jobkit.ports.rules import FAILURES_KEPT, dump_failure, load_failure
from jobkit.ports.store import Failure


def load_failures(stored: str | None) -> tuple[Failure, ...]:
    """Return the failures in a row's column."""
    return tuple(map(load_failure, stored.splitlines())) if stored else ()


def dump_failures(failures: Sequence[Failure]) -> str:
    """Return the latest failures as a row's column."""
    return "\n".join(map(dump_failure, failures[-FAILURES_KEPT:]))


def is_noted(failures: Sequence[Failure], attempt: int) -> bool:
    """Return whether `attempt` is among `failures`, or so old that it must have been."""
    if any(failure.attempt == attempt for failure in failures):
        return True
    return len(failures) == FAILURES_KEPT and attempt < min(failure.attempt for failure in failures)
