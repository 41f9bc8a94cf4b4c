"""Schedules: rows by name, changed by whoever saw their latest revision, together with the jobs of their ticks."""

from __future__ import annotations

from collections.abc import Sequence

from jobkit.backends.sqlite.transaction import Transaction
from jobkit.backends.sqlite.unique import submit_all
from jobkit.ports.schedules import KeptSchedule
from jobkit.ports.store import NewJob, SubmitAnswer

_COLUMNS = "name, type, definition, revision, due, seen"
_ALL = f"SELECT {_COLUMNS} FROM schedules WHERE name > ? ORDER BY name LIMIT ?"  # noqa: S608  (names from above)
_ONE = f"SELECT {_COLUMNS} FROM schedules WHERE name = ?"  # noqa: S608
_DUE = f"SELECT {_COLUMNS} FROM schedules WHERE due <= ? ORDER BY due, name LIMIT ?"  # noqa: S608
_INSERT = f"INSERT INTO schedules ({_COLUMNS}) VALUES (?, ?, ?, 1, ?, ?) ON CONFLICT DO NOTHING"  # noqa: S608
_UPDATE = (
    "UPDATE schedules SET type = ?, definition = ?, due = ?, revision = revision + 1 WHERE name = ? AND revision = ?"
)


def wall_time(transaction: Transaction) -> float:
    """Return the time of the clock that decides what is due."""
    return transaction.wall


def schedules(transaction: Transaction, *, after: str, limit: int) -> list[KeptSchedule]:
    """Return schedules with a name above `after`, in order of names."""
    return [KeptSchedule(*row) for row in transaction.execute(_ALL, (after, limit)).fetchall()]


def schedule(transaction: Transaction, name: str) -> KeptSchedule | None:
    """Return one schedule, or None."""
    row = transaction.execute(_ONE, (name,)).fetchone()
    return None if row is None else KeptSchedule(*row)


def due(transaction: Transaction, *, limit: int) -> tuple[float, list[KeptSchedule]]:
    """Return the time, and schedules that are due."""
    now = transaction.wall
    return now, [KeptSchedule(*row) for row in transaction.execute(_DUE, (now, limit)).fetchall()]


def save(transaction: Transaction, kept: KeptSchedule, jobs: Sequence[NewJob]) -> list[SubmitAnswer] | None:
    """Keep a schedule's next state and accept the jobs, if nobody has changed it meanwhile."""
    if kept.revision:
        saved = transaction.execute(_UPDATE, (kept.type, kept.definition, kept.due, kept.name, kept.revision)).rowcount
    else:
        saved = transaction.execute(
            _INSERT, (kept.name, kept.type, kept.definition, kept.due, transaction.wall)
        ).rowcount
    return submit_all(transaction, jobs) if saved else None


def remove(transaction: Transaction, name: str, *, revision: int) -> bool:
    """Forget a schedule, if nobody has changed it meanwhile."""
    return bool(transaction.execute("DELETE FROM schedules WHERE name = ? AND revision = ?", (name, revision)).rowcount)


def see(transaction: Transaction, names: Sequence[str]) -> list[str]:
    """Note that these schedules are wanted; return which there are."""
    update = "UPDATE schedules SET seen = ? WHERE name = ?"
    return [name for name in names if transaction.execute(update, (transaction.wall, name)).rowcount]
