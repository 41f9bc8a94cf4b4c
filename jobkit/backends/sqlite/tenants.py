"""Tenants that take turns: each has so many places, and jobs beyond wait in a line for one of them to be given up.

A job that waits is scheduled, for no time. Whatever ends one that has a place gives that to the next in line, in the
same transaction; so nothing has to look for those that wait.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from jobkit.backends.sqlite import outbox
from jobkit.backends.sqlite.transaction import Transaction
from jobkit.ports.notifier import job_topic
from jobkit.ports.rules import COUNTED
from jobkit.ports.store import OutboxEntry

_IN_LINE = "FROM jobs WHERE type = ?1 AND line = ?2 AND ended IS NULL AND placed = "
_TAKEN = f"SELECT count(*) FROM (SELECT 1 {_IN_LINE} 1 LIMIT ?3)"  # noqa: S608  (from above, here and below)
_IS_FREE = f"SELECT NOT EXISTS (SELECT 1 {_IN_LINE} 0) AND ({_TAKEN}) < ?3"
_WAITING = (
    "SELECT count(*) FROM (SELECT 1 FROM jobs "
    "WHERE type = ? AND line IS NOT NULL AND ended IS NULL AND placed = 0 LIMIT ?)"
)
_NEXT = f"SELECT number, id, places {_IN_LINE} 0 ORDER BY number LIMIT 1"


def take_place(transaction: Transaction, number: int, type: str, line: str, places: int) -> bool:
    """Give the job of that number, which is not in the line yet, a place; or have it wait, and return False."""
    (is_free,) = transaction.execute(_IS_FREE, (type, line, places)).fetchone()
    change = "placed = 1" if is_free else "placed = 0, state = 'scheduled', due = 9e999"
    transaction.execute(f"UPDATE jobs SET {change} WHERE number = ?", (number,))  # noqa: S608  (from above)
    return bool(is_free)


def give_places(
    transaction: Transaction, type: str, line: str | None, source: str = outbox.UNTOLD
) -> list[OutboxEntry]:
    """Have those of a line go to the outbox for whom there are places, and return their entries.

    `source` is the job whose commit has given up a place, and tells of them.
    """
    given: list[OutboxEntry] = []
    while line is not None and (waits := transaction.execute(_NEXT, (type, line)).fetchone()) is not None:
        number, id, places = waits
        (taken,) = transaction.execute(_TAKEN, (type, line, places)).fetchone()
        if taken >= places:
            break
        transaction.execute(
            "UPDATE jobs SET state = 'queued', due = NULL, ordered = NULL, placed = 1 WHERE number = ?", (number,)
        )
        transaction.notify(job_topic(id))
        given.append(outbox.add(transaction, number, source))
    return given


def give_all_places(transaction: Transaction, lines: Iterable[tuple[str, str | None]]) -> None:
    """Do so in each of these lines, which are those of jobs that have ended."""
    for type, line in dict.fromkeys(lines):
        give_places(transaction, type, line)


def change_line(transaction: Transaction, number: int, line: str) -> OutboxEntry | None:
    """Move a job that has not begun to another line; return its new entry in the outbox, where it has a place there."""
    type, places, placed, left, entry = transaction.execute(
        "SELECT type, places, placed, line, entry FROM jobs WHERE number = ?", (number,)
    ).fetchone()
    transaction.execute("UPDATE jobs SET line = ?, placed = NULL WHERE number = ?", (line, number))
    if placed is None:
        # It has a time of its own, and comes into the line then.
        return None
    transaction.execute("DELETE FROM outbox WHERE position = ?", (entry,))
    transaction.execute("UPDATE jobs SET state = 'queued', due = NULL, ordered = NULL WHERE number = ?", (number,))
    moved = outbox.add(transaction, number) if take_place(transaction, number, type, line, places) else None
    give_places(transaction, type, left)
    return moved


def waiting(transaction: Transaction, types: Collection[str]) -> dict[str, int]:
    """Count the jobs of types that wait for a place, up to a bound."""
    counts = {type: transaction.execute(_WAITING, (type, COUNTED)).fetchone()[0] for type in types}
    return {type: count for type, count in counts.items() if count}
