"""`Schedules` on PostgreSQL: their state, and the jobs of a tick that are accepted with it, in one step."""

from __future__ import annotations

from collections.abc import Sequence

from jobkit.backends.postgres import schedules, submit
from jobkit.backends.postgres.calls import Calls
from jobkit.backends.postgres.sanitize import fit
from jobkit.ports.schedules import KeptSchedule
from jobkit.ports.store import NewJob, SubmitAnswer


class PostgresSchedules(Calls):
    """`Schedules` in one database; a part of the `PostgresStore`."""

    async def wall_time(self) -> float:
        return float((await self._look(schedules.WALL_TIME))[0]["now"])

    async def schedules(self, *, after: str = "", limit: int = 1000) -> Sequence[KeptSchedule]:
        return [schedules.kept(row) for row in await self._look(schedules.ALL, after, limit)]

    async def schedule(self, name: str) -> KeptSchedule | None:
        rows = await self._look(schedules.ONE, name)
        return schedules.kept(rows[0]) if rows else None

    async def due_schedules(self, *, limit: int) -> tuple[float, Sequence[KeptSchedule]]:
        return schedules.due(await self._look(schedules.DUE, limit))

    async def save_schedule(self, schedule: KeptSchedule, jobs: Sequence[NewJob] = ()) -> Sequence[SubmitAnswer] | None:
        submit.check(jobs)
        return await self._sessions.run(schedules.saving(schedule, jobs))

    async def remove_schedule(self, name: str, *, revision: int) -> bool:
        return bool(await self._look(schedules.REMOVE, name, revision))

    async def see_schedules(self, names: Sequence[str]) -> Sequence[str]:
        found = {row["name"] for row in await self._look(schedules.SEE, list(map(fit, names)))} if names else set()
        return [name for name in names if name in found]
