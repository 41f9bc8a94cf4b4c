"""A job's failed attempts as JSON, the latest of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

from jobkit.ports.store import Failure

# A job that is retried for weeks must not grow its row for ever; the count goes on.
KEPT = 20


def load_failures(stored: str | None) -> tuple[Failure, ...]:
    """Return the failures in a row's column, oldest first."""
    return tuple(Failure(**item) for item in json.loads(stored)) if stored else ()


def dump_failures(failures: Sequence[Failure]) -> str:
    """Return the latest failures as a row's column."""
    return json.dumps([asdict(failure) for failure in failures[-KEPT:]])


def is_noted(failures: Sequence[Failure], attempt: int) -> bool:
    """Tell whether `attempt` is among `failures`, or so old that it must have been."""
    if any(failure.attempt == attempt for failure in failures):
        return True
    return len(failures) == KEPT and attempt < min(failure.attempt for failure in failures)
