"""`Schedules` on SQLite: their state, and the jobs of a tick that are accepted with it, in one step."""

from __future__ import annotations

from collections.abc import Sequence

from jobkit.backends.sqlite import schedules
from jobkit.backends.sqlite.calls import Calls
from jobkit.ports.schedules import KeptSchedule
from jobkit.ports.store import NewJob, SubmitAnswer


class SqliteSchedules(Calls):
    """`Schedules` on the engine's database; a part of the `SqliteStore`."""

    async def wall_time(self) -> float:
        return await self._plane.read(schedules.wall_time)

    async def schedules(self, *, after: str = "", limit: int = 1000) -> Sequence[KeptSchedule]:
        return await self._plane.read(schedules.schedules, after=after, limit=limit)

    async def schedule(self, name: str) -> KeptSchedule | None:
        return await self._plane.read(schedules.schedule, name)

    async def due_schedules(self, *, limit: int) -> tuple[float, Sequence[KeptSchedule]]:
        return await self._plane.read(schedules.due, limit=limit)

    async def save_schedule(self, schedule: KeptSchedule, jobs: Sequence[NewJob] = ()) -> Sequence[SubmitAnswer] | None:
        return await self._plane.write(schedules.save, schedule, jobs)

    async def remove_schedule(self, name: str, *, revision: int) -> bool:
        return await self._plane.write(schedules.remove, name, revision=revision)

    async def see_schedules(self, names: Sequence[str]) -> Sequence[str]:
        return await self._plane.write(schedules.see, names) if names else []
