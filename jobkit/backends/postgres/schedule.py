"""Jobs that are to run later: what the server is asked as they are due, or put back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jobkit.backends.postgres import submit
from jobkit.backends.postgres.fail import fenced
from jobkit.model.envelope import Envelope
from jobkit.model.fence import Fence, Receipt
from jobkit.model.job_group import OnFailure
from jobkit.ports.rules import RELEASED, never_opened, with_sequence
from jobkit.ports.store import NewJob, OutboxEntry, Refused, Suspended

RELEASE = "SELECT * FROM jobkit.release_due($1)"
SUSPEND = (
    "SELECT * FROM jobkit.suspend_job($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, "
    "$19, $20, $21, $22, $23, $24, $25)"
)
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


def suspend_arguments(
    envelope: Envelope, fence: Fence, members: Sequence[NewJob], on_failure: OnFailure
) -> tuple[Any, ...]:
    """Return the arguments of `SUSPEND`."""
    return (
        *fenced(envelope, fence),
        on_failure,
        *submit.columns(members),
        [job.member_of for job in members],
        RELEASED,
        *submit.lines(members),
        submit.notices([job.envelope for job in members]),
    )


def suspended(envelope: Envelope, members: Sequence[NewJob], rows: Sequence[Mapping[str, Any]]) -> Suspended | Refused:
    """Return what `SUSPEND` says. Raises `ValueError` for a job that was never opened, or has a sequence."""
    answer = snoozed(envelope, rows[0])
    if isinstance(answer, Refused):
        return answer
    entries = [
        OutboxEntry(row["position"], members[row["place"] - 1].envelope)
        for row in rows[1:]
        if row["position"] is not None
    ]
    return Suspended(answer, entries)
