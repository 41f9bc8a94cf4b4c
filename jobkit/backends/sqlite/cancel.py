"""Jobs that end without having run to an end, cancelled or expired: none of them ever commits."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from jobkit.backends.sqlite import ending, given_up_sequences, job_groups, tenants
from jobkit.backends.sqlite.transaction import Transaction
from jobkit.model.fence import Receipt
from jobkit.model.job_state import UNFINISHED
from jobkit.ports.inspection import Cancellation, JobState
from jobkit.ports.rules import ENDED_BY_JOBKIT, EXPIRED_REASON, replaced_reason
from jobkit.ports.store import Expired


@dataclass(frozen=True, slots=True)
class _Known:
    id: str
    number: int
    type: str
    key: str | None
    sequence: int | None
    entry: int | None
    state: JobState
    result: bytes | None
    saved: int | None
    group: str | None
    line: str | None
    notices: str | None


def cancel(
    transaction: Transaction, ids: Sequence[str], *, by: str, reason: str, states: Collection[JobState] = UNFINISHED
) -> list[Cancellation]:
    """End jobs that have yet to end and are in one of `states`; one answer for each."""
    known = {id: job for id in dict.fromkeys(ids) if (job := _look(transaction, id)) is not None}
    going = {id: job for id, job in known.items() if not job.state.ended and job.state in states}
    _cancel(transaction, list(going.values()), by, reason)
    answers = []
    for id in ids:
        job = known.get(id)
        if job is None:
            answers.append(Cancellation(id, cancelled=False, state=None))
        elif job.state.ended or job.state not in states:
            answers.append(Cancellation(id, cancelled=False, state=job.state, result=job.result))
        else:
            # Of an id that is there twice, the first is answered so.
            answers.append(Cancellation(id, going.pop(id, None) is not None, JobState.CANCELLED))
    return answers


def make_way(transaction: Transaction, id: str, successor: str) -> None:
    """Cancel a job that has yet to end, because another one takes its place."""
    job = _look(transaction, id)
    _cancel(transaction, [job] if job else [], ENDED_BY_JOBKIT, replaced_reason(successor))


def _cancel(transaction: Transaction, jobs: Sequence[_Known], by: str, reason: str) -> None:
    transaction.executemany("UPDATE jobs SET expires = NULL WHERE number = ?", [(job.number,) for job in jobs])
    _end(transaction, jobs, JobState.CANCELLED, by, reason)


def expire(transaction: Transaction, ids: Sequence[str]) -> list[Expired]:
    """End jobs that were to have begun by now and have not."""
    jobs = [job for id in ids if (job := _look(transaction, id)) is not None]
    _end(transaction, jobs, JobState.EXPIRED, ENDED_BY_JOBKIT, EXPIRED_REASON)
    return [Expired(job.id, job.type) for job in jobs]


def expire_due(transaction: Transaction, *, limit: int) -> list[Expired]:
    """End so many of them, those first whose time was over first."""
    rows = transaction.execute(
        "SELECT id FROM jobs WHERE ended IS NULL AND expires IS NOT NULL AND expires <= ? "
        "ORDER BY expires, number LIMIT ?",
        (transaction.wall, limit),
    ).fetchall()
    return expire(transaction, [id for (id,) in rows])


def _end(transaction: Transaction, jobs: Sequence[_Known], state: JobState, by: str, reason: str) -> None:
    transaction.executemany(
        "UPDATE jobs SET state = ?1, finished_at = ?2, ended = ?3, settled = ?3, ended_by = ?4, reason = ?5 "
        "WHERE number = ?6",
        [(state.value, transaction.wall, transaction.now, by, reason, job.number) for job in jobs],
    )
    for job in jobs:
        ending.leave(transaction, job.id, job.number, job.entry)
        if job.saved:
            ending.drop_checkpoints(transaction, job.number)
    given_up_sequences.give_up_all(transaction, ((job.type, job.key, job.sequence) for job in jobs))
    tenants.give_all_places(transaction, ((job.type, job.line) for job in jobs))
    job_groups.abandon(transaction, [job.id for job in jobs])
    for job in jobs:
        job_groups.count(transaction, job.group, job_groups.UNENDED, state)
        ending.tell(transaction, job.notices, state.value)


def _look(transaction: Transaction, id: str) -> _Known | None:
    row = transaction.execute(
        "SELECT number, type, key, sequence, entry, state, result, saved, member_of, line, notices FROM jobs "
        "WHERE id = ?",
        (id,),
    ).fetchone()
    if row is None:
        return None
    number, type, key, sequence, entry, state, *rest = row
    return _Known(id, number, type, key, sequence, entry, JobState(state), *rest)


def cancelled(transaction: Transaction, ids: Sequence[str]) -> list[Receipt]:
    """Return a receipt for each of these jobs that was cancelled."""
    found = []
    for id in ids:
        row = transaction.execute("SELECT 1 FROM jobs WHERE id = ? AND state = 'cancelled'", (id,)).fetchone()
        if row is not None:
            found.append(Receipt(id, "cancelled"))
    return found


def unfinished(
    transaction: Transaction, type: str, state: JobState, *, key: str | None, below: int | None, limit: int
) -> tuple[list[str], int | None]:
    """Return a page of a type's jobs in a state, the latest first, and where the next one begins."""
    # A key has no index in the order of numbers: those of its type are looked at.
    due = "IS NOT NULL" if state is JobState.SCHEDULED else "IS NULL"
    looked = transaction.execute(
        f"SELECT number, id, state, key FROM jobs WHERE type = ? AND ended IS NULL AND due {due} AND number < ? "  # noqa: S608
        "ORDER BY number DESC LIMIT ?",
        (type, below if below is not None else (1 << 63) - 1, limit),
    ).fetchall()
    found = [id for _, id, found_in, of in looked if found_in == state and key in (None, of)]
    return found, looked[-1][0] if len(looked) == limit else None
