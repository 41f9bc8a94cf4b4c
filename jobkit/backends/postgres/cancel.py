"""Cancelling jobs: who has yet to end ends here, and never commits. The server decides it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from jobkit.backends.postgres.sanitize import fit
from jobkit.model.fence import Receipt
from jobkit.model.job_state import UNFINISHED
from jobkit.ports.inspection import Cancellation, JobState
from jobkit.ports.rules import RELEASED, keepable_note
from jobkit.ports.store import Expired

CANCEL = "SELECT * FROM jobkit.cancel_jobs($1, $2, $3, $4, $5)"
CANCELLED = "SELECT id FROM jobkit.jobs WHERE id = ANY ($1) AND state = 'cancelled'"

EXPIRE_DUE = "SELECT * FROM jobkit.expire_due($1, $2)"

_PAGE = (
    "SELECT number, id, state, key FROM jobkit.jobs WHERE type = $1 AND ended IS NULL AND number < $2 AND {} "
    "ORDER BY number DESC LIMIT $3"
)
_DUE = {True: "due IS NOT NULL", False: "due IS NULL"}


def arguments(ids: Sequence[str], by: str, reason: str, states: Collection[JobState] = UNFINISHED) -> tuple[Any, ...]:
    """Return the arguments of `CANCEL`."""
    wanted = [state.value for state in states]
    return list(map(fit, ids)), keepable_note(by), keepable_note(reason), RELEASED, wanted


def answers(ids: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> list[Cancellation]:
    """Return what the rows of `CANCEL` say of the jobs, in their order."""
    by_id = {row["id"]: row for row in rows}
    told: set[str] = set()
    found = []
    for id in ids:
        row = by_id.get(fit(id))
        if row is None:
            found.append(Cancellation(id, False, None))
        else:
            # Of an id that is there twice, the first.
            first = row["cancelled"] and id not in told
            found.append(Cancellation(id, first, JobState(row["state"]), row["result"]))
            told.add(id)
    return found


def receipts(rows: Sequence[Mapping[str, Any]]) -> list[Receipt]:
    """Return the receipts of the jobs in the rows of `CANCELLED`."""
    return [Receipt(row["id"], "cancelled") for row in rows]


def expired(rows: Sequence[Mapping[str, Any]]) -> list[Expired]:
    """Return the jobs in the rows of `EXPIRE_DUE`."""
    return [Expired(row["id"], row["type"]) for row in rows]


def page_query(type: str, state: JobState, below: int | None, limit: int) -> tuple[str, tuple[object, ...]]:
    """Return the query for a page of jobs that have yet to end, the latest first, and its arguments."""
    # A key has no index in the order of numbers: those of its type are looked at.
    return _PAGE.format(_DUE[state is JobState.SCHEDULED]), (type, (1 << 63) - 1 if below is None else below, limit)


def page(
    rows: Sequence[Mapping[str, Any]], state: JobState, key: str | None, limit: int
) -> tuple[list[str], int | None]:
    """Return the ids of those that are in the state, and of the key, and the number to go on below."""
    found = [row["id"] for row in rows if row["state"] == state and key in (None, row["key"])]
    return found, rows[-1]["number"] if len(rows) == limit else None
