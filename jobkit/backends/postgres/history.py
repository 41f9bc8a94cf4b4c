"""A job's failed attempts as a row keeps them: one JSON text for each, oldest first."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

from jobkit.ports.store import Failure

# A job that is retried for weeks must not grow its row for ever; the count goes on.
KEPT = 20


def load_failures(stored: Sequence[str] | None) -> tuple[Failure, ...]:
    """Return the failures in a row's column."""
    return tuple(Failure(**json.loads(item)) for item in stored or ())


def dump_failure(failure: Failure) -> str:
    """Return one failure as an element of a row's column."""
    return json.dumps(asdict(failure))
