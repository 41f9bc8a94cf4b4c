"""A job's failed attempts as text, the latest of them: a line for each, its number before what is told of it."""

from __future__ import annotations

from jobkit.ports.rules import load_failure
from jobkit.ports.store import Failure


def load_failures(stored: bytes | None) -> tuple[Failure, ...]:
    """Return the failures in a row's field, oldest first."""
    lines = stored.split(b"\n") if stored else []
    return tuple(load_failure(line.partition(b" ")[2]) for line in lines)
