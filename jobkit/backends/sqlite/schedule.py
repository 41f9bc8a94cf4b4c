"""Jobs that are to run later: they wait in an index by the time they are due, and then go to the outbox."""

from __future__ import annotations

from collections.abc import Sequence

from jobkit.backends.sqlite import job_groups, outbox, tenants
from jobkit.backends.sqlite.open import refusal
from jobkit.backends.sqlite.release import released
from jobkit.backends.sqlite.transaction import Transaction
from jobkit.model.envelope import Envelope
from jobkit.model.fence import Fence, Receipt
from jobkit.model.job_group import WHEN_RELEASED, OnFailure
from jobkit.ports.inspection import JobState
from jobkit.ports.notifier import job_topic
from jobkit.ports.rules import key_of, never_opened, with_sequence
from jobkit.ports.store import NewJob, OutboxEntry, Refused, Suspended

_DUE = """
    SELECT j.number, j.id, j.ordered, e.envelope FROM jobs j JOIN envelopes e ON e.job = j.number
    WHERE j.ended IS NULL AND j.due IS NOT NULL AND j.due <= ? ORDER BY j.due, j.number LIMIT ?
"""


def release_due(transaction: Transaction, *, limit: int) -> list[OutboxEntry]:
    """Move jobs that are due, and members of groups that were held, to the outbox; then tell of what nobody was."""
    rows = transaction.execute(_DUE, (transaction.wall, limit)).fetchall()
    entries = released(transaction, rows)
    if len(rows) < limit:
        entries += job_groups.release_held(transaction, limit=limit - len(rows))
    return entries + outbox.take_untold(transaction, limit=limit - len(entries))


def snooze(transaction: Transaction, envelope: Envelope, fence: Fence, *, after: float) -> Receipt | Refused:
    """Put an opened job back until `after` seconds from now."""
    refused = refusal(transaction, envelope.type, key_of(envelope), fence)
    if refused is not None:
        return refused
    row = transaction.execute(
        "SELECT number, state, sequence, entry, line FROM jobs WHERE id = ?", (envelope.id,)
    ).fetchone()
    if row is None:
        raise never_opened(envelope)
    number, state, sequence, entry, line = row
    if sequence is not None:
        raise with_sequence(envelope)
    if JobState(state).ended:
        return Refused(fence.token)
    if state != JobState.SCHEDULED:
        transaction.execute(
            "UPDATE jobs SET state = 'scheduled', due = ?, ordered = 0, opens = opens - 1, placed = NULL "
            "WHERE number = ?",
            (transaction.wall + after, number),
        )
        transaction.execute("DELETE FROM outbox WHERE position = ?", (entry,))
        transaction.execute("DELETE FROM inflight WHERE job = ?", (number,))
        tenants.give_places(transaction, envelope.type, line)
        transaction.notify(job_topic(envelope.id))
    return Receipt(envelope.id, "scheduled")


def suspend(
    transaction: Transaction, envelope: Envelope, fence: Fence, *, members: Sequence[NewJob], on_failure: OnFailure
) -> Suspended | Refused:
    """Put an opened job aside until the members of a group have ended."""
    row = transaction.execute("SELECT state FROM jobs WHERE id = ?", (envelope.id,)).fetchone()
    answer = snooze(transaction, envelope, fence, after=WHEN_RELEASED)
    if isinstance(answer, Refused):
        return answer
    if row == (JobState.SCHEDULED,):
        return Suspended(answer)
    return Suspended(answer, job_groups.await_members(transaction, envelope.id, members, on_failure))
