"""`Schedules` on Redis: their state, and the jobs of a tick that are accepted with it, in one step."""

from __future__ import annotations

from collections.abc import Sequence

from jobkit.backends.redis import inspection, schedules, submit
from jobkit.backends.redis.calls import Calls
from jobkit.backends.redis.scripts import spelled
from jobkit.ports.schedules import KeptSchedule
from jobkit.ports.store import NewJob, SubmitAnswer


class RedisSchedules(Calls):
    """`Schedules` in one database; a part of the `RedisStore`."""

    async def wall_time(self) -> float:
        return float(await self._scripts.run(schedules.WALL_TIME))

    async def schedules(self, *, after: str = "", limit: int = 1000) -> Sequence[KeptSchedule]:
        found: list[KeptSchedule] = []
        while len(found) < limit:
            page = min(limit - len(found), inspection.PAGE)
            rows = await self._looks.run(schedules.ALL, spelled(found[-1].name if found else after), str(page))
            found += map(schedules.kept, rows)
            if len(rows) < page:
                break
        return found

    async def schedule(self, name: str) -> KeptSchedule | None:
        row = await self._scripts.run(schedules.ONE, spelled(name))
        return None if row is None else schedules.kept(row)

    async def due_schedules(self, *, limit: int) -> tuple[float, Sequence[KeptSchedule]]:
        now, *rows = await self._scripts.run(schedules.DUE, str(min(limit, inspection.PAGE)))
        return float(now), [schedules.kept(row) for row in rows]

    async def save_schedule(self, schedule: KeptSchedule, jobs: Sequence[NewJob] = ()) -> Sequence[SubmitAnswer] | None:
        submit.check(jobs)
        arguments = schedules.save_arguments(schedule, jobs)
        return schedules.saved(jobs, await self._scripts.run(schedules.SAVE.of(jobs), *arguments))

    async def remove_schedule(self, name: str, *, revision: int) -> bool:
        return bool(await self._scripts.run(schedules.REMOVE, spelled(name), str(revision)))

    async def see_schedules(self, names: Sequence[str]) -> Sequence[str]:
        found = await self._scripts.run(schedules.SEE, *map(spelled, names)) if names else []
        return [name.decode() for name in found]
