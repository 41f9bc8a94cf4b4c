"""Schedules for people and programs: add, look, pause, resume, trigger, remove.

Each change is one compare-and-set in the store, tried again where somebody else changed the schedule meanwhile: a tick
that fires at the same moment is neither lost nor doubled by it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Literal

from jobkit.client.relay import Relay
from jobkit.client.schedule_row import job_of, kept_of, schedule_of
from jobkit.errors import ConfigurationError, JobConflict, ScheduleNotFound, ScheduleUnreadable
from jobkit.model.ids import new_job_id, user_at_host
from jobkit.model.schedule import Pause, Schedule
from jobkit.model.spelling import did_you_mean
from jobkit.model.tick_policy import Missed, Overlap
from jobkit.plugin.new_job import checked_id
from jobkit.plugin.payload import Payload
from jobkit.plugin.registry import Registry
from jobkit.plugin.schedule import timing_of
from jobkit.ports.inspection import Inspection, JobState
from jobkit.ports.schedules import KeptSchedule
from jobkit.ports.store import Accepted, Conflict, OutboxEntry, SubmitAnswer, replaced

_PAGE = 500


@dataclass(frozen=True, slots=True)
class ScheduleStatus:
    """One schedule now. `last_state` is how far the job of its last tick has come; None where that is not known.

    `schedule` is None where this jobkit cannot read it, for the reason `unreadable`; such a one can only be removed.
    """

    name: str
    type: str
    schedule: Schedule | None
    last_state: JobState | None = None
    unreadable: str | None = None

    @property
    def last_outcome(self) -> str:
        """What came of the last tick, in a word; "" where there was none."""
        last = None if self.schedule is None else self.schedule.last
        if last is None:
            return ""
        return last.passed or (self.last_state.value if self.last_state is not None else "forgotten")


class ScheduleBook:
    """The schedules of a store."""

    def __init__(self, inspection: Inspection, registry: Registry, relay: Relay | None = None) -> None:
        self._inspection = inspection
        self._registry = registry
        self._relay = relay

    async def list(self) -> Sequence[ScheduleStatus]:
        """Return all schedules, in order of names. Raises `Unavailable`."""
        found: list[ScheduleStatus] = []
        while page := await self._inspection.schedules(after=found[-1].name if found else "", limit=_PAGE):
            found += await self._statuses(page)
            if len(page) < _PAGE:
                break
        return found

    async def show(self, name: str) -> ScheduleStatus:
        """Return one schedule. Raises `ScheduleNotFound` or `Unavailable`."""
        (status,) = await self._statuses([await self._kept(name)])
        return status

    async def add(
        self,
        name: str,
        type: str,
        payload: Payload | Mapping[str, Any] | bytes,
        *,
        key: str | None = None,
        cron: str | None = None,
        every: timedelta | None = None,
        zone: str = "UTC",
        jitter: timedelta = timedelta(0),
        missed: Literal["skip", "latest", "all"] = "latest",
        bound: int = 100,
        grace: timedelta = timedelta(minutes=1),
        overlap: Literal["allow", "skip", "wait"] = "allow",
    ) -> Schedule:
        """Keep a schedule that no plugin declares; its first tick is the next. Arguments as of `jobkit.schedule`.

        Raises `UnknownType`, `PayloadInvalid`, `ConfigurationError` where it cannot work or the name is taken, or
        `Unavailable`.
        """
        job = self._registry.scheduled_job(type, payload, key=key)
        decided = await self._inspection.wall_time()
        try:
            timing = timing_of(cron, every, zone, jitter)
            schedule = Schedule(
                name=name,
                timing=timing,
                job=job,
                decided=decided,
                missed=Missed(missed),
                bound=bound,
                grace=grace.total_seconds(),
                overlap=Overlap(overlap),
            )
        except ValueError as error:
            raise ConfigurationError(f"schedule {name!r}: {error}") from error
        if await self._inspection.save_schedule(kept_of(schedule, revision=0)) is None:
            raise ConfigurationError(f"there is a schedule {name!r} already: remove it, or choose another name")
        return schedule

    async def pause(self, name: str, *, reason: str = "", by: str | None = None) -> Schedule:
        """Stop a schedule until it is resumed; ticks meanwhile are missed. What runs goes on.

        A declared one stays paused through restarts and changes of its declaration. Raises `ScheduleNotFound`,
        `ScheduleUnreadable` or `Unavailable`.
        """
        pause = Pause(user_at_host() if by is None else by, await self._inspection.wall_time(), reason)
        return await self._change(name, lambda schedule: replace(schedule, pause=schedule.pause or pause))

    async def resume(self, name: str) -> Schedule:
        """Let a paused schedule go on with its next tick. Raises as `pause` does."""
        now = await self._inspection.wall_time()

        def resumed(schedule: Schedule) -> Schedule:
            return schedule if schedule.pause is None else replace(schedule, pause=None, decided=now)

        return await self._change(name, resumed)

    async def trigger(self, name: str, *, id: str | None = None) -> str:
        """Submit a schedule's job now, paused or not, and return the job's id; its ticks stay as they are.

        Where the answer is lost, asking again under the same `id` triggers once; without one it may trigger twice.
        Raises `ScheduleNotFound`, `ScheduleUnreadable`, `JobConflict` where the id is another job's, `PayloadInvalid`
        where it can name no job, or `Unavailable`.
        """
        job_id = checked_id(id) if id is not None else f"{name}@{new_job_id()}"
        now = await self._inspection.wall_time()
        while True:
            kept = await self._kept(name)
            schedule = schedule_of(kept)
            # What was triggered before is not the last job any more, once a tick has made another.
            if id is None or await self._inspection.job(id) is None:
                schedule = replace(schedule, last_job=job_id)
            # Paused or waiting, it is looked at when it would have been.
            changed = replace(kept, definition=schedule.dump())
            answers = await self._inspection.save_schedule(changed, [job_of(schedule.job, job_id, now)])
            if answers is not None:
                break
        if any(isinstance(answer, Conflict) for answer in answers):
            raise JobConflict(f"job id {job_id!r} is another job's; nothing is triggered: use another id")
        if self._relay is not None:
            await self._relay.publish(entries_of(answers))
        return job_id

    async def remove(self, name: str) -> None:
        """Forget a schedule, also one that cannot be read; its jobs stay.

        Raises `ScheduleNotFound`, `ConfigurationError` where a plugin declares it, or `Unavailable`.
        """
        while True:
            kept = await self._kept(name)
            if _is_declared(kept):
                raise ConfigurationError(
                    f"schedule {name!r} is declared by a plugin, and would come back: take it out there, or pause it"
                )
            if await self._inspection.remove_schedule(name, revision=kept.revision):
                return

    async def _change(self, name: str, change: Callable[[Schedule], Schedule]) -> Schedule:
        while True:
            kept = await self._kept(name)
            changed = change(schedule_of(kept))
            if await self._inspection.save_schedule(kept_of(changed, revision=kept.revision)) is not None:
                return changed

    async def _kept(self, name: str) -> KeptSchedule:
        kept = await self._inspection.schedule(name)
        if kept is None:
            hint = did_you_mean(name, [one.name for one in await self._inspection.schedules(after="", limit=_PAGE)])
            raise ScheduleNotFound(
                f"there is no schedule {name!r}; `jobkit schedules list` shows those there are{hint}"
            )
        return kept

    async def _statuses(self, page: Sequence[KeptSchedule]) -> Sequence[ScheduleStatus]:
        """Return what there is to say of schedules; of all their last jobs the store is asked at once."""
        statuses = [_status(kept) for kept in page]
        jobs = [job for status in statuses if (job := _last_job(status)) is not None]
        states = await self._inspection.states(jobs) if jobs else {}
        return [replace(status, last_state=states.get(_last_job(status) or "")) for status in statuses]


def _status(kept: KeptSchedule) -> ScheduleStatus:
    try:
        return ScheduleStatus(kept.name, kept.type, schedule_of(kept))
    except ScheduleUnreadable as error:
        return ScheduleStatus(kept.name, kept.type, None, unreadable=str(error))


def _last_job(status: ScheduleStatus) -> str | None:
    last = None if status.schedule is None else status.schedule.last
    return None if last is None else last.job


def _is_declared(kept: KeptSchedule) -> bool:
    try:
        return schedule_of(kept).declared
    except ScheduleUnreadable:
        # Nobody can tell; a plugin that declares it declares it again.
        return False


def entries_of(answers: Sequence[SubmitAnswer]) -> Sequence[OutboxEntry]:
    """Return the outbox entries of the jobs that were accepted, and not replaced by one of the others."""
    gone = replaced(answers)
    return [
        OutboxEntry(answer.position, answer.envelope)
        for answer in answers
        if isinstance(answer, Accepted) and answer.position is not None and answer.envelope.id not in gone
    ]
