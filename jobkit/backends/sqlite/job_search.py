"""Looking for jobs: a bounded number of rows for each page, in the order of an index that leaves out all others."""

from __future__ import annotations

import json
from typing import Any

from jobkit.backends.sqlite.inspection import JOB, job
from jobkit.backends.sqlite.transaction import Transaction
from jobkit.model.job_filter import CLOCKS_APART, JobFilter
from jobkit.model.job_state import JobState
from jobkit.model.tags import CARRIED_AS
from jobkit.ports.inspection import JobPage

# For each state the index that has its jobs in order, and what it needs to hear before it may be used. Those that lead
# with the type are looked through for each type that has such jobs.
_OPEN = "jobs_of_type", "ended IS NULL AND due IS NULL"
_INDEXES = {
    JobState.SCHEDULED: ("jobs_scheduled", "ended IS NULL AND due IS NOT NULL"),
    JobState.QUEUED: _OPEN,
    JobState.RUNNING: _OPEN,
    JobState.PARKED: _OPEN,
    JobState.DEAD: ("jobs_died", "state = 'dead'"),
    JobState.CANCELLED: ("jobs_given_up", "ended_by IS NOT NULL AND expires IS NULL"),
    JobState.EXPIRED: ("jobs_expired", "ended IS NOT NULL AND expires IS NOT NULL"),
}
_TYPES = """
    WITH RECURSIVE found(type) AS (
        SELECT min(type) FROM jobs WHERE ended IS NULL
        UNION ALL SELECT (SELECT min(type) FROM jobs WHERE ended IS NULL AND type > found.type) FROM found
        WHERE found.type IS NOT NULL
    ) SELECT type FROM found WHERE type IS NOT NULL
"""
_FAILED_WITH = (
    "(instr(lower(reason), lower(?)) OR EXISTS ("
    "SELECT 1 FROM json_each('[' || replace(failures, char(10), ',') || ']') "
    "WHERE instr(lower(json_extract(value, '$.error')), lower(?))))"
)
_TAGGED = f"instr(' ' || json_extract(trace, '$.\"{CARRIED_AS}\"') || ' ', ' ' || ? || ' ')"


def find(transaction: Transaction, wanted: JobFilter, *, below: int | None, limit: int, look_at: int) -> JobPage:
    """Return a page of the jobs that match."""
    if below is None:
        below = (1 << 62) if wanted.until is None else _submitted_after(transaction, wanted.until + CLOCKS_APART)
    index, condition = (None, "1") if wanted.state is None else _INDEXES.get(wanted.state, (None, "1"))
    source = "jobs NOT INDEXED" if index is None else f"jobs INDEXED BY {index}"
    types: list[str] | None = None
    if index is not None and wanted.state is not None and not wanted.state.ended:
        types = [type for (type,) in transaction.execute(_TYPES)] if wanted.type is None else [wanted.type]
    last = _last_looked_at(transaction, source, condition, types, below, look_at)
    conditions, values = _conditions(wanted, types)
    within = " AND ".join(["number < ? AND number >= ?", condition, *conditions])
    rows = transaction.execute(
        f"{JOB.removesuffix('jobs ')}{source} WHERE {within} ORDER BY number DESC LIMIT ?",
        (below, 0 if last is None else last[0], *values, limit),
    ).fetchall()
    found = [job(row) for row in rows]
    if len(rows) == limit:
        return JobPage(found, _number(transaction, found[-1].id))
    over = last is None or (wanted.since is not None and last[1] < wanted.since - CLOCKS_APART)
    return JobPage(found, None if over or last is None else last[0])


def _submitted_after(transaction: Transaction, at: float) -> int:
    """Return the number of the first job that was submitted after a time, found by halves."""
    low, high = 0, transaction.execute("SELECT coalesce(max(number), 0) + 1 FROM jobs").fetchone()[0]
    while high - low > 1:
        middle = (low + high) // 2
        row = transaction.execute(
            "SELECT submitted_at > ? FROM jobs WHERE number >= ? ORDER BY number LIMIT 1", (at, middle)
        ).fetchone()
        low, high = (low, middle) if row is None or row[0] else (middle, high)
    return int(high)


def _number(transaction: Transaction, id: str) -> int:
    return int(transaction.execute("SELECT number FROM jobs WHERE id = ?", (id,)).fetchone()[0])


def _last_looked_at(
    transaction: Transaction, source: str, condition: str, types: list[str] | None, below: int, look_at: int
) -> tuple[int, float] | None:
    """Return the number of the last job to look at and when it was submitted; None where there are not so many."""
    select = f"SELECT number, submitted_at FROM {source} WHERE {condition} AND number < ? "  # noqa: S608  (from above)
    order = "ORDER BY number DESC LIMIT 1 OFFSET ?"
    if types is None:
        found = [transaction.execute(select + order, (below, look_at - 1)).fetchone()]
    else:
        of_type = f"{select}AND type = ? {order}"
        found = [transaction.execute(of_type, (below, type, look_at - 1)).fetchone() for type in types]
    return max((row for row in found if row is not None), default=None)


def _conditions(wanted: JobFilter, types: list[str] | None) -> tuple[list[str], list[Any]]:
    conditions, values = [], list[Any]()
    if types is not None:
        conditions.append("type IN (SELECT value FROM json_each(?))")
        values.append(json.dumps(types))
    for condition, *asked in (
        ("type = ?", wanted.type if types is None else None),
        ("key = ?", wanted.key),
        ("state = ?", wanted.state),
        ("substr(owner, 1, length(?)) = ?", wanted.worker, wanted.worker),
        (_FAILED_WITH, wanted.error, wanted.error),
        ("submitted_at >= ?", wanted.since),
        ("submitted_at <= ?", wanted.until),
        (_TAGGED, wanted.tag),
    ):
        if None not in asked:
            conditions.append(condition)
            values += [str(one) if isinstance(one, JobState) else one for one in asked]
    return conditions, values
