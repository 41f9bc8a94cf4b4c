"""Schedules: what the server is asked to keep of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from jobkit.backends.postgres import submit
from jobkit.ports.schedules import KeptSchedule
from jobkit.ports.store import NewJob, SubmitAnswer

if TYPE_CHECKING:
    from jobkit.backends.postgres.lending import Connection

_ROW = "name, type, definition, revision, due, seen"
WALL_TIME = "SELECT jobkit.clock() AS now"
ALL = f"SELECT {_ROW} FROM jobkit.schedules WHERE name > $1 ORDER BY name LIMIT $2"  # noqa: S608  (names from above)
ONE = f"SELECT {_ROW} FROM jobkit.schedules WHERE name = $1"  # noqa: S608
# The time comes even where nothing is due; a moment of the clock is not a constant, so the index is asked by a value.
DUE = f"""
    SELECT c.now, s.* FROM (SELECT jobkit.clock() AS now) c
    LEFT JOIN LATERAL (
        SELECT {_ROW} FROM jobkit.schedules WHERE due <= c.now ORDER BY due, name LIMIT $1) s ON true
    ORDER BY s.due, s.name
"""  # noqa: S608
_SAVE = "SELECT jobkit.save_schedule($1, $2, $3, $4, $5)"
REMOVE = "DELETE FROM jobkit.schedules WHERE name = $1 AND revision = $2 RETURNING name"
SEE = "UPDATE jobkit.schedules SET seen = jobkit.clock() WHERE name = ANY ($1::text[]) RETURNING name"


def kept(row: Mapping[str, Any]) -> KeptSchedule:
    """Return the schedule in a row."""
    return KeptSchedule(row["name"], row["type"], row["definition"], row["revision"], row["due"], row["seen"])


def due(rows: Sequence[Mapping[str, Any]]) -> tuple[float, list[KeptSchedule]]:
    """Return what `DUE` answers."""
    return rows[0]["now"], [kept(row) for row in rows if row["name"] is not None]


def saving(
    schedule: KeptSchedule, jobs: Sequence[NewJob]
) -> Callable[[Connection], Awaitable[list[SubmitAnswer] | None]]:
    """Return what keeps a schedule's next state and accepts the jobs, in one transaction on a connection."""

    async def save(connection: Connection) -> list[SubmitAnswer] | None:
        async with connection.transaction():
            state = (schedule.name, schedule.type, schedule.definition, schedule.revision, schedule.due)
            if not await connection.fetchval(_SAVE, *state):
                return None
            statement, arguments = submit.statement(jobs)
            rows: list[Any] = await connection.fetch(statement, *arguments) if jobs else []
            return submit.answers(jobs, rows)

    return save
