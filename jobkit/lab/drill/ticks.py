"""A schedule that ticks through all of the drill, whoever leads: each of its ticks is to fire once."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import timedelta

from jobkit.client import Client
from jobkit.client.schedule_row import schedule_of
from jobkit.lab.drill.plugin import TRANSCODE, Video
from jobkit.model.clock import Clock
from jobkit.model.ticks import Timing, tick_id
from jobkit.ports.planes import Planes
from jobkit.projections.log_reader import log_pages

SCHEDULE = "drill-clock"
_EVERY = timedelta(seconds=1)
_BEHIND_SECONDS = 30.0
_POLL_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class TickCount:
    """How many ticks there were, those that fired more than once or were not to fire, and those that never fired."""

    ticks: int = 0
    twice: tuple[str, ...] = ()
    never: tuple[str, ...] = ()

    @property
    def once(self) -> bool:
        """Whether each fired once."""
        return not self.twice and not self.never


@dataclass
class Ticks:
    """The schedule of one drill; between these two moments, Unix times, it was there to fire."""

    since: float = 0.0
    until: float = 0.0

    async def begin(self, client: Client) -> None:
        """Add the schedule."""
        job = Video(session=SCHEDULE, seconds=0.0)
        added = await client.schedules.add(SCHEDULE, TRANSCODE, job, every=_EVERY, missed="all", bound=1000)
        self.since = self.until = added.decided

    async def end(self, planes: Planes, clock: Clock) -> None:
        """Remove the schedule once it has come as far as the time has, or is not going to."""
        now = await planes.inspection.wall_time()
        deadline = clock.now() + _BEHIND_SECONDS
        while (kept := await planes.inspection.schedule(SCHEDULE)) is not None:
            self.until = schedule_of(kept).decided
            behind = self.until + _EVERY.total_seconds() <= now and clock.now() < deadline
            if not behind and await planes.inspection.remove_schedule(SCHEDULE, revision=kept.revision):
                # What it was behind is lost, and counts.
                self.until = max(self.until, now)
                return
            await clock.sleep(_POLL_SECONDS)

    async def count(self, planes: Planes) -> TickCount:
        """Read what became of each tick. Raises `Unavailable`."""
        ticks = Timing(every=_EVERY.total_seconds()).latest(after=self.since, upto=self.until, limit=1 << 20)
        wanted = {tick_id(SCHEDULE, tick) for tick in ticks}
        fired: Counter[str] = Counter()
        async for page in log_pages(planes.inspection, TRANSCODE, SCHEDULE):
            fired.update(entry.job_id for entry in page)
        twice = [id for id, times in fired.items() if times > 1 or id not in wanted]
        return TickCount(len(wanted), tuple(sorted(twice)), tuple(sorted(wanted - fired.keys())))
