"""Accepting jobs that may have unique names, which one job at a time holds.

No call frees a name: who holds it follows from what has become of its job, and an index refuses two.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from jobkit.backends.sqlite import cancel, job_groups, submit
from jobkit.backends.sqlite.transaction import Transaction
from jobkit.ports.store import Accepted, Kept, NewJob, SubmitAnswer

_HOLDER = """
    SELECT id, key, sequence, due, started_at IS NOT NULL, coalesce(expires <= ?, 0) FROM jobs
    WHERE type = ? AND unique_name = ? AND ended IS NULL AND unique_while <> 'begun'
"""


@dataclass(frozen=True, slots=True)
class Holder:
    """The job that holds a name. `over`: it was to have begun by now, and has not."""

    id: str
    key: str | None
    sequence: int | None
    due: float | None
    has_begun: bool
    over: bool


def holder_of(transaction: Transaction, type: str, name: str) -> Holder | None:
    """Return the job that holds a unique name of a type; one that is over ends here."""
    row = transaction.execute(_HOLDER, (transaction.wall, type, name)).fetchone()
    holder = None if row is None else Holder(*row)
    if holder is not None and holder.over:
        cancel.expire(transaction, [holder.id])
        return None
    return holder


def submit_all(transaction: Transaction, jobs: Sequence[NewJob]) -> list[SubmitAnswer]:
    """Accept jobs in order; one answer for each."""
    return [accept(transaction, job) for job in jobs]


def accept(transaction: Transaction, job: NewJob, source: str | None = None) -> SubmitAnswer:
    """Accept one job; `source` is the job whose commit it follows from."""
    envelope, unique = job.envelope, job.unique
    if job.closes is not None or job.member_of is not None:
        return job_groups.accept(transaction, job, source)
    if unique is None:
        return submit.accept(transaction, job, source)
    if transaction.execute("SELECT 1 FROM jobs WHERE id = ?", (envelope.id,)).fetchone() is not None:
        # Accepted before, or another job: either way it has no say in who holds the name.
        return submit.accept(transaction, job, source)
    holder = holder_of(transaction, envelope.type, unique.name)
    if holder is not None and (holder.has_begun or not unique.replace):
        return Kept(holder.id, holder.key, holder.sequence, holder.due)
    if holder is not None:
        cancel.make_way(transaction, holder.id, envelope.id)
    answer = submit.accept(transaction, job, source)
    transaction.execute(
        "UPDATE jobs SET unique_name = ?, unique_while = ? WHERE id = ?", (unique.name, unique.while_, envelope.id)
    )
    return replace(answer, replaced=holder.id) if holder is not None and isinstance(answer, Accepted) else answer
