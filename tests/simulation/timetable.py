"""The schedules of a run, what a person does about them, and which of their ticks are to fire."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import anyio

from jobkit.client.schedule_row import schedule_of
from jobkit.client.schedules import ScheduleBook
from jobkit.model.ticks import Timing, tick_id
from jobkit.plugin.payload import Payload
from jobkit.plugin.registry import Registry
from jobkit.ports.inspection import Inspection

# More than a run has.
_MOST_TICKS = 1_000


@dataclass(frozen=True, slots=True)
class Plan:
    """A schedule of a run: it ticks `every` so many seconds.

    `each`: all of its ticks fire, however late; else one at a time does, the latest.
    """

    name: str
    type: str
    job: Payload
    every: int
    each: bool


@dataclass(frozen=True, slots=True)
class Ticks:
    """The ticks of a schedule while it was there and not paused: when (Unix time), by the ids of their jobs.

    None fires twice; where `each`, none is left out.
    """

    name: str
    at: Mapping[str, float]
    each: bool


@dataclass
class Timetable:
    """The schedules of a run, and between which moments each of them could fire."""

    inspection: Inspection
    registry: Registry
    plans: Sequence[Plan]
    _spans: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    # Since when each could fire that can now.
    _since: dict[str, float] = field(default_factory=dict)

    async def add(self) -> None:
        """Have the store keep all schedules."""
        for plan in self.plans:
            added = await self._book.add(
                plan.name,
                plan.type,
                plan.job,
                every=timedelta(seconds=plan.every),
                missed="all" if plan.each else "latest",
                bound=_MOST_TICKS,
                overlap="allow" if plan.each else "wait",
            )
            self._since[plan.name] = added.decided
            self._spans[plan.name] = []

    async def pause(self, name: str, seconds: float) -> None:
        """Do what a person does who has a schedule rest for a while; nothing where it rests already."""
        if name not in self._since:
            return
        since = self._since.pop(name)
        paused = await self._book.pause(name, by="operator", reason="for a while")
        self._spans[name].append((since, paused.decided))
        await anyio.sleep(seconds)
        self._since[name] = (await self._book.resume(name)).decided

    async def finish(self, upto: float) -> list[str]:
        """Remove the schedules that have come as far as a moment (Unix time); return the names of the others."""
        left = []
        for plan in self.plans:
            kept = await self.inspection.schedule(plan.name)
            if kept is None:
                continue
            decided = schedule_of(kept).decided
            if decided + plan.every > upto and await self.inspection.remove_schedule(kept.name, revision=kept.revision):
                self._spans[kept.name].append((self._since.pop(kept.name), decided))
            else:
                left.append(kept.name)
        return left

    def ticks(self) -> list[Ticks]:
        """Return the ticks of all schedules that were to fire, once all are removed."""
        return [Ticks(plan.name, self._ticks(plan), plan.each) for plan in self.plans]

    @property
    def _book(self) -> ScheduleBook:
        return ScheduleBook(self.inspection, self.registry)

    def _ticks(self, plan: Plan) -> dict[str, float]:
        timing = Timing(every=plan.every)
        return {
            tick_id(plan.name, tick): tick
            for after, upto in self._spans.get(plan.name, ())
            for tick in timing.latest(after=after, upto=upto, limit=_MOST_TICKS)
        }
