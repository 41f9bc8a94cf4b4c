"""Jobs that are to run later: what the server is asked as they are due, or put back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jobkit.backends.redis.scripts import Script
from jobkit.backends.redis.submit import accepting_script, has_tenants, refusal, store_script
from jobkit.errors import JobConflict
from jobkit.model.envelope import Envelope
from jobkit.model.fence import Receipt
from jobkit.ports.rules import never_opened, with_sequence
from jobkit.ports.store import NewJob, OutboxEntry, Refused, Suspended

RELEASE = store_script("release_due", "outbox", "tenants", "release")
SNOOZE = store_script("snooze", "outbox", "tenants", "release", "put_back")
_SUSPEND = accepting_script("suspend", "put_back")


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


def suspend_script(members: Sequence[NewJob]) -> Script:
    """Return the script that has a job wait for a group of these members."""
    return _SUSPEND.tenanted if has_tenants(members) else _SUSPEND.grouped


def suspended(envelope: Envelope, members: Sequence[NewJob], row: Sequence[Any]) -> Suspended | Refused:
    """Return what the answer of `suspend_script` says. Raises `JobConflict`, and `ValueError` as `snoozed` does."""
    if row[0] == b"conflict":
        raise JobConflict(refusal(*row[1:]))
    answer = snoozed(envelope, row[:2] if row[0] == b"refused" else row[:1])
    if isinstance(answer, Refused):
        return answer
    entries = zip(row[1:], members, strict=False)
    return Suspended(answer, [OutboxEntry(int(position), job.envelope) for position, job in entries if position])
