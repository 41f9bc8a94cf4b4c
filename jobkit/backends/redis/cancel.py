"""Jobs that end without having run to an end, cancelled or expired: none ever commits. The server decides it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from jobkit.backends.redis.scripts import Argument
from jobkit.backends.redis.submit import ENDING, store_script
from jobkit.model.fence import Receipt
from jobkit.ports.inspection import Cancellation, JobState
from jobkit.ports.rules import keepable_note
from jobkit.ports.store import Expired

CANCEL = store_script("cancel", "outbox", *ENDING, "end_early")
EXPIRE_DUE = store_script("expire_due", "outbox", *ENDING, "end_early")
CANCELLED = store_script("cancelled")
UNFINISHED = store_script("unfinished")


def arguments(ids: Sequence[str], by: str, reason: str, states: Collection[JobState]) -> Sequence[Argument]:
    """Return the arguments of `CANCEL`."""
    # Each has a space on either side.
    wanted = f" {' '.join(state.value for state in states)} "
    return (keepable_note(by), keepable_note(reason), wanted, *ids)


def answers(ids: Sequence[str], rows: Sequence[Any]) -> list[Cancellation]:
    """Return what the answer of `CANCEL` says of the jobs, in their order."""
    return [_answer(id, row) for id, row in zip(ids, rows, strict=True)]


def _answer(id: str, row: Sequence[Any]) -> Cancellation:
    match row:
        case [state, now, *result]:
            return Cancellation(id, bool(now), JobState(state.decode()), result[0] if result else None)
        case _:
            return Cancellation(id, False, None)


def expired(rows: Sequence[Any]) -> list[Expired]:
    """Return the jobs in the answer of `EXPIRE_DUE`."""
    return [Expired(id.decode(), type.decode()) for id, type in rows]


def receipts(ids: Sequence[bytes]) -> list[Receipt]:
    """Return the receipts of the jobs in the answer of `CANCELLED`."""
    return [Receipt(id.decode(), "cancelled") for id in ids]
