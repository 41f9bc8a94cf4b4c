"""A job's failed attempts as text, the latest of them: a line for each, its number before what is told of it."""

from __future__ import annotations

import json
from dataclasses import asdict

from jobkit.ports.store import Failure

# A job that is retried for weeks must not grow its row for ever; the count goes on.
KEPT = 20


def load_failures(stored: bytes | None) -> tuple[Failure, ...]:
    """Return the failures in a row's field, oldest first."""
    lines = stored.split(b"\n") if stored else []
    return tuple(Failure(**json.loads(line.partition(b" ")[2])) for line in lines)


def dump_failure(failure: Failure) -> str:
    """Return one failure as it is stored, on one line."""
    return json.dumps(asdict(failure))
