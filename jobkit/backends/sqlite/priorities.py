"""Changing the priority of jobs that wait."""

from __future__ import annotations

from collections.abc import Sequence

from jobkit.backends.sqlite import outbox, tenants
from jobkit.backends.sqlite.transaction import Transaction
from jobkit.model.envelope import Envelope
from jobkit.model.priority import Priority
from jobkit.model.tenancy import line_with_priority
from jobkit.ports.inspection import JobState, PriorityChange

_LOOK = """
    SELECT j.number, j.state, j.sequence IS NOT NULL OR coalesce(j.ordered, 0), e.envelope, j.line
    FROM jobs j LEFT JOIN envelopes e ON e.job = j.number WHERE j.id = ?
"""


def reprioritize(transaction: Transaction, ids: Sequence[str], priority: Priority) -> list[PriorityChange]:
    """Change the priority of jobs; one answer for each."""
    return [_reprioritize(transaction, id, priority) for id in ids]


def _reprioritize(transaction: Transaction, id: str, priority: Priority) -> PriorityChange:
    row = transaction.execute(_LOOK, (id,)).fetchone()
    if row is None:
        return PriorityChange(id, changed=False, state=None)
    number, text, ordered, packed, line = row
    state = JobState(text)
    if state.ended:
        return PriorityChange(id, changed=False, state=state)
    envelope = Envelope.unpack(packed)
    if state is JobState.RUNNING or ordered or envelope.priority is priority:
        return PriorityChange(id, changed=False, state=state, priority=envelope.priority)
    packed = envelope.with_priority(priority).pack()
    transaction.execute("UPDATE envelopes SET envelope = ? WHERE job = ?", (packed, number))
    transaction.execute("UPDATE jobs SET priority = ? WHERE number = ?", (priority.value, number))
    if line is not None:
        entry = tenants.change_line(transaction, number, line_with_priority(line, priority))
    else:
        entry = outbox.add(transaction, number) if state is JobState.QUEUED else None
    return PriorityChange(id, changed=True, state=state, priority=priority, entry=entry)
