"""Declared schedules: kept in the store as the plugins of the workers that live say it.

The worker that started last has its word. A schedule that no worker declares any more is forgotten by one that serves
its type, once nobody has wanted it for a while; where its plugin is rolled back meanwhile, nothing has changed.
"""

from __future__ import annotations

from collections.abc import Sequence

from jobkit.client.schedule_row import kept_of, schedule_of
from jobkit.errors import ScheduleUnreadable, Unavailable
from jobkit.model.clock import Clock
from jobkit.model.schedule import Schedule
from jobkit.plugin.registry import Registry
from jobkit.ports.inspection import Inspection
from jobkit.ports.schedules import KeptSchedule
from jobkit.telemetry import Telemetry
from jobkit.worker.maintenance import tick_firing
from jobkit.worker.maintenance.unreadable_schedules import UnreadableSchedules

# How often workers say which schedules they want, and for how long nobody must before one is forgotten.
_EVERY_SECONDS = 60.0
FORGOTTEN_SECONDS = 300.0
_PAGE = 500


class Declarations:
    """The schedules that this worker's plugins declare for the types that it serves."""

    def __init__(
        self, inspection: Inspection, registry: Registry, types: Sequence[str], *, clock: Clock, telemetry: Telemetry
    ) -> None:
        self._inspection = inspection
        self._registry = registry
        self._types = types
        self._clock = clock
        self._telemetry = telemetry
        self._unreadable = UnreadableSchedules(clock, telemetry)

    async def declare(self) -> None:
        """Have the store keep each as it is declared here.

        Raises `ConfigurationError` where one cannot work, or `Unavailable`.
        """
        if not self._registry.schedules(self._types, 0.0):
            return
        for schedule in self._registry.schedules(self._types, await self._inspection.wall_time()):
            while not await self._keep(schedule):
                pass

    async def run(self) -> None:
        """Say what is wanted, and forget what nobody wants, until cancelled."""
        while True:
            await self._clock.sleep(_EVERY_SECONDS)
            try:
                await self._look()
            except Unavailable as error:
                self._telemetry.connection_lost(error.plane, "declaring schedules", error)

    async def _keep(self, schedule: Schedule) -> bool:
        """Keep one schedule; tell whether it is settled, or somebody else has changed it meanwhile."""
        kept = await self._inspection.schedule(schedule.name)
        if kept is None:
            return await self._inspection.save_schedule(kept_of(schedule, revision=0)) is not None
        known = self._read(kept)
        if known is None:
            # It is another version's to keep, or a person's to remove; then it is declared anew.
            return True
        if not known.declared:
            self._telemetry.log.warning(
                "a schedule is declared whose name is taken by one that was added: that one stays", schedule=kept.name
            )
            return True
        await self._inspection.see_schedules([kept.name])
        if schedule.same_as(known):
            return True
        # What was due before the change is decided by the old words: the new ones have no such tick.
        now = schedule.decided
        decision = await tick_firing.decided(self._inspection, known, now)
        following = kept_of(schedule.come_as_far_as(decision.schedule), revision=kept.revision)
        answers = await self._inspection.save_schedule(following, tick_firing.jobs_of(known, decision, now))
        if answers is not None:
            tick_firing.report(self._telemetry, kept, decision, answers, now)
        return answers is not None

    async def _look(self) -> None:
        now = await self._inspection.wall_time()
        wanted = self._registry.schedules(self._types, now)
        there = set(await self._inspection.see_schedules([schedule.name for schedule in wanted]))
        for schedule in wanted:
            if schedule.name not in there:
                await self._keep(schedule)
        names = {schedule.name for schedule in wanted}
        after = ""
        while page := await self._inspection.schedules(after=after, limit=_PAGE):
            for kept in page:
                if kept.name not in names and kept.type in self._types and now - kept.seen > FORGOTTEN_SECONDS:
                    await self._forget(kept)
            after = page[-1].name

    async def _forget(self, kept: KeptSchedule) -> None:
        known = self._read(kept)
        if (
            known is not None
            and known.declared
            and await self._inspection.remove_schedule(kept.name, revision=kept.revision)
        ):
            self._telemetry.log.info("schedule that nobody declares any more is forgotten", schedule=kept.name)

    def _read(self, kept: KeptSchedule) -> Schedule | None:
        try:
            return schedule_of(kept)
        except ScheduleUnreadable as error:
            self._unreadable.met(kept.name, error)
            return None
