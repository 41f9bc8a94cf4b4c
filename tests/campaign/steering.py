"""What people do to jobs in a campaign, and what they were told.

Errands are put off, given so long, made more urgent or less, cancelled, scheduled. What people are told is what counts
in the end. Where the store does not answer, they ask again.
"""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import anyio

from jobkit.client.schedule_row import schedule_of
from jobkit.model.clock import machine_time
from jobkit.model.priority import Priority
from jobkit.model.ticks import Timing, tick_id
from jobkit.ops.verify import Violation
from jobkit.ports.inspection import JobState
from jobkit.ports.store import NewJob
from tests.campaign.answered import answered
from tests.campaign.cluster import Cluster
from tests.campaign.names import ERRAND
from tests.campaign.plugin import Errand
from tests.campaign.schedule import TICK_SECONDS, TICKING, Scale, Schedule

_AGAIN_SECONDS = 0.2
_BURSTS = 4
# Of the latest steps so many are to be cancelled, about so often.
_STEPS_AT_ONCE, _STEPS_EVERY_SECONDS = 4, 0.7


@dataclass(frozen=True, slots=True)
class Burst:
    """Errands of a key, all of which were submitted after `since`, on the machine's clock."""

    key: str
    since: float


@dataclass(frozen=True, slots=True)
class Span:
    """A time in which a schedule was to fire: each tick after `required`, none before `allowed`, up to `until`."""

    allowed: float
    required: float
    until: float

    def ticks(self, after: float) -> set[str]:
        """Return the ids of the ticks after a moment."""
        ticks = Timing(every=TICK_SECONDS).latest(after=after, upto=self.until, limit=100_000)
        return {tick_id(TICKING, tick) for tick in ticks}


@dataclass
class Told:
    """What people know when all is over. `not_before` is the Unix time before which a job was not due."""

    cancelled: set[str] = field(default_factory=set)
    reprioritized: int = 0
    errands: list[str] = field(default_factory=list)
    not_before: dict[str, float] = field(default_factory=dict)
    bursts: list[Burst] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)


class Steering:
    """The people of one campaign. `steps` are the ids of the ordered jobs, by key, as far as they are submitted."""

    def __init__(self, cluster: Cluster, schedule: Schedule, steps: Mapping[str, Sequence[str]]) -> None:
        self.told = Told()
        self._cluster = cluster
        self._inspection = cluster.site.planes.inspection
        self._client = cluster.site.client
        self._seconds = schedule.seconds
        self._scale: Scale = schedule.scale
        self._steps = steps
        self._rng = random.Random(f"steering {schedule.seed}")
        self._seed = schedule.seed
        # Since when the schedule may fire, and has to.
        self._since = (0.0, 0.0)

    async def begin(self) -> None:
        """Add the schedule, while nothing goes wrong yet."""
        every = timedelta(seconds=TICK_SECONDS)
        job = Errand(on=TICKING, seconds=0.05)
        added = await self._client.schedules.add(TICKING, ERRAND, job, every=every, missed="all", bound=1000)
        self._since = (added.decided, added.decided)

    async def run(self) -> None:
        """Steer for as long as the faults take."""
        async with anyio.create_task_group() as people:
            for number in range(_BURSTS):
                people.start_soon(self._burst, number, self._seconds * number / _BURSTS)
            people.start_soon(self._cancel_steps)
            people.start_soon(self._rest_schedule, self._seconds / 3)

    async def end(self) -> None:
        """Remove the schedule once it has come up to now; note it as wrong where that takes too long."""
        healed = await answered(self._inspection.wall_time)
        with anyio.move_on_after(self._scale.bound):
            while not await self._removed(healed):  # noqa: ASYNC110  (other processes set no event here)
                await anyio.sleep(_AGAIN_SECONDS)
            return
        self._cluster.wrong.append(Violation("progress", TICKING, f"is behind after {self._scale.bound:g} s"))

    async def _removed(self, healed: float) -> bool:
        kept = await answered(lambda: self._inspection.schedule(TICKING))
        if kept is None:
            return True
        decided = schedule_of(kept).decided
        if decided + TICK_SECONDS <= healed:
            return False
        if await answered(lambda: self._inspection.remove_schedule(TICKING, revision=kept.revision)):
            self._end_span(decided)
            return True
        return False

    def _end_span(self, until: float) -> None:
        self.told.spans.append(Span(*self._since, until))

    async def _rest_schedule(self, after: float) -> None:
        """Pause the schedule for a while, and the errands for a part of it."""
        await anyio.sleep(after)
        paused = await answered(lambda: self._client.schedules.pause(TICKING, reason="for a while"))
        self._end_span(paused.decided)
        self._cluster.note("the schedule is paused")
        await answered(lambda: self._client.pause(ERRAND, reason="for a while"))
        await anyio.sleep(2.0)
        await answered(lambda: self._client.resume(ERRAND))
        await anyio.sleep(1.0)
        asked = await answered(self._inspection.wall_time)
        # Where an answer was lost it went on before the one that came.
        resumed = await answered(lambda: self._client.schedules.resume(TICKING))
        self._since = (asked, resumed.decided)
        self._cluster.note("the schedule goes on")

    async def _burst(self, number: int, after: float) -> None:
        """Submit errands of a key at once; soon cancel some of them, and change the priority of others."""
        await anyio.sleep(after)
        key = f"burst-{number}"
        self.told.bursts.append(Burst(key, machine_time()))
        now = time.time()
        jobs = [self._errand(key, f"{self._seed}-{key}-{place}", now) for place in range(self._scale.errands)]
        await answered(lambda: self._client.submit_many(jobs))
        self.told.errands += [job.envelope.id for job in jobs]
        for job in jobs:
            chance = self._rng.random()
            if chance > 0.6:
                continue
            await anyio.sleep(self._rng.uniform(0, 0.3))
            if chance < 0.25:
                await self._cancel([job.envelope.id])
            else:
                await self._reprioritize(job.envelope.id, self._rng.choice(list(Priority)))

    def _errand(self, key: str, id: str, now: float) -> NewJob:
        rng = self._rng
        errand = Errand(on=key, seconds=round(rng.uniform(0.05, 0.4), 3))
        kind, priority = rng.random(), rng.choice(list(Priority))
        if kind < 0.25:
            seconds = rng.uniform(0.5, 6)
            self.told.not_before[id] = now + seconds
            return self._client.job(ERRAND, errand, id=id, after=timedelta(seconds=seconds), priority=priority)
        expires = timedelta(seconds=rng.uniform(0.2, 5)) if kind < 0.5 else None
        return self._client.job(ERRAND, errand, id=id, expires=expires, priority=priority)

    async def _cancel_steps(self) -> None:
        """Cancel some of the latest ordered jobs, whatever has become of them."""
        end = time.monotonic() + self._seconds
        while time.monotonic() < end:
            await anyio.sleep(_STEPS_EVERY_SECONDS)
            latest = [ids[-1] for ids in self._steps.values()]
            await self._cancel(self._rng.sample(latest, min(_STEPS_AT_ONCE, len(latest))))

    async def _cancel(self, ids: Sequence[str]) -> None:
        answers = await answered(lambda: self._inspection.cancel(ids, by="campaign", reason="not wanted"))
        self.told.cancelled |= {answer.id for answer in answers if answer.state is JobState.CANCELLED}

    async def _reprioritize(self, id: str, priority: Priority) -> None:
        answer = await answered(lambda: self._client.reprioritize(id, priority))
        self.told.reprioritized += answer.changed
