"""A job's failed attempts as a row keeps them: one JSON text for each, oldest first."""

from __future__ import annotations

from collections.abc import Sequence

from jobkit.ports.rules import load_failure
from jobkit.ports.store import Failure


def load_failures(stored: Sequence[str] | None) -> tuple[Failure, ...]:
    """Return the failures in a row's column."""
    return tuple(map(load_failure, stored or ()))
