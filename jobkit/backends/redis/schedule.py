"""Jobs that are to run later: what the server is asked as they are due, or put back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jobkit.backends.redis.submit import store_script
from jobkit.model.envelope import Envelope
from jobkit.model.fence import Receipt
from jobkit.ports.rules import never_opened, with_sequence
from jobkit.ports.store import Refused

RELEASE = store_script("release_due", "outbox", "tenants", "release")
SNOOZE = store_script("snooze", "outbox", "tenants", "release")


def snoozed(envelope: Envelope, row: Sequence[Any]) -> Receipt | Refused:
    """Return what the answer of `SNOOZE` says. Raises `ValueError` for a job never opened, or with a sequence."""
    match row:
        case [b"scheduled"]:
            return Receipt(envelope.id, "scheduled")
        case [b"refused", mark]:
            return Refused(int(mark))
        case [b"ordered"]:
            raise with_sequence(envelope)
        case _:
            raise never_opened(envelope)
