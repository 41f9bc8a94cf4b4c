"""Firing schedules: what is due is submitted, by whoever leads.

Where several workers think that they lead, each decides, and the store takes one decision: it is written together with
the jobs that it makes, and only over the state that it was made from. No clock but the store's is looked at.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from jobkit.client.schedule_row import kept_of, schedule_of
from jobkit.client.schedules import entries_of
from jobkit.errors import ScheduleUnreadable, Unavailable
from jobkit.model.clock import Clock
from jobkit.model.schedule import Schedule
from jobkit.ports.inspection import Inspection
from jobkit.ports.schedules import KeptSchedule
from jobkit.ports.store import OutboxEntry
from jobkit.telemetry import Telemetry
from jobkit.worker.maintenance import tick_firing
from jobkit.worker.maintenance.unreadable_schedules import UnreadableSchedules

# How often is looked; what is due fires after half of it, on average.
_EVERY_SECONDS = 0.5
_PAGE = 100
# A schedule that this version cannot read is left to workers that can, and then put off for less than the usual grace:
# it is looked at rarely, and hides nobody.
_LEFT_TO_OTHERS_SECONDS = 5.0
_PUT_OFF_SECONDS = 30.0

Publish = Callable[[Sequence[OutboxEntry]], Awaitable[object]]


class Ticker:
    """Fires the schedules of a store while this worker `leads`."""

    def __init__(
        self,
        inspection: Inspection,
        publish: Publish,
        *,
        leads: Callable[[], bool],
        clock: Clock,
        telemetry: Telemetry,
    ) -> None:
        self._inspection = inspection
        self._publish = publish
        self._leads = leads
        self._clock = clock
        self._telemetry = telemetry
        self._unreadable = UnreadableSchedules(clock, telemetry)

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            await self._clock.sleep(_EVERY_SECONDS)
            try:
                while self._leads() and await self._look() == _PAGE:
                    pass
            except Unavailable as error:
                self._telemetry.connection_lost(error.plane, "firing schedules", error)

    async def _look(self) -> int:
        """Decide what is due now, once for each schedule; return how many there were."""
        now, due = await self._inspection.due_schedules(limit=_PAGE)
        for kept in due:
            try:
                await self._decide(kept, schedule_of(kept), now)
            except ScheduleUnreadable as error:
                self._unreadable.met(kept.name, error)
                if len(due) == _PAGE or kept.due is None or now - kept.due >= _LEFT_TO_OTHERS_SECONDS:
                    await self._put_off(kept, now)
            except Unavailable:
                raise
            except Exception as error:  # noqa: BLE001  (a defect met by one schedule must not stop the others)
                self._telemetry.crashed(f"firing schedule {kept.name}", error)
                await self._put_off(kept, now)
        return len(due)

    async def _put_off(self, kept: KeptSchedule, now: float) -> None:
        await self._inspection.save_schedule(replace(kept, due=now + _PUT_OFF_SECONDS))

    async def _decide(self, kept: KeptSchedule, schedule: Schedule, now: float) -> None:
        decision = await tick_firing.decided(self._inspection, schedule, now)
        following = kept_of(decision.schedule, revision=kept.revision)
        jobs = tick_firing.jobs_of(schedule, decision, now)
        answers = await self._inspection.save_schedule(replace(following, due=decision.due), jobs)
        if answers is None:
            # Another leader, or a person, was first; what they left is looked at next time.
            return
        tick_firing.report(self._telemetry, kept, decision, answers, now)
        await self._publish(entries_of(answers))
