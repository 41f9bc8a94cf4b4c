"""Jobs that are to run later: what the server is asked as they are due, or put back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jobkit.backends.postgres.fail import fenced
from jobkit.model.envelope import Envelope
from jobkit.model.fence import Fence, Receipt
from jobkit.ports.rules import never_opened, with_sequence
from jobkit.ports.store import Refused

RELEASE = "SELECT * FROM jobkit.release_due($1)"
SNOOZE = "SELECT * FROM jobkit.snooze_job($1, $2, $3, $4, $5, $6)"


def snooze_arguments(envelope: Envelope, fence: Fence, after: float) -> tuple[Any, ...]:
    """Return the arguments of `SNOOZE`."""
    return (*fenced(envelope, fence), after)


def snoozed(envelope: Envelope, row: Mapping[str, Any]) -> Receipt | Refused:
    """Return what `SNOOZE` says. Raises `ValueError` for a job that was never opened, or has a sequence."""
    match row["answer"]:
        case "refused":
            return Refused(row["number"])
        case "unknown":
            raise never_opened(envelope)
        case "ordered":
            raise with_sequence(envelope)
        case answer:
            return Receipt(envelope.id, answer)
