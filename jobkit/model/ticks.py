"""When a schedule ticks: a plain calculation, from no clock but the moments that it is given.

Across daylight saving, a time of day that does not exist is taken at the end of the gap, one that is there twice at its
first; what repeats by the hour or more often goes on as time does.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import takewhile
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError
from pydantic import ConfigDict, with_config

# A hundred years; no interval or jitter is longer, so that every tick has a date.
_LONGEST_SECONDS = 100 * 366 * 86_400.0


# What a newer jobkit adds would be lost by who reads past it.
@with_config(ConfigDict(extra="forbid"))
@dataclass(frozen=True, slots=True)
class Timing:
    """The ticks of a cron expression in a time zone, or of an interval of so many seconds, counted from 1970.

    Each is due up to `jitter` seconds later, by the same for whoever asks. All moments are Unix times in whole seconds.
    Raises `ValueError` where it names no ticks.
    """

    cron: str | None = None
    zone: str = "UTC"
    every: float | None = None
    jitter: float = 0.0

    def __post_init__(self) -> None:
        if (self.cron is None) == (self.every is None):
            raise ValueError("say either cron= or every=")
        if self.every is not None and (not 1 <= self.every <= _LONGEST_SECONDS or self.every % 1):
            raise ValueError(f"every={self.every:g} s: an interval is of whole seconds, from 1 to a hundred years")
        if self.every is not None and self.zone != "UTC":
            raise ValueError(f"zone={self.zone!r} goes with cron=: an interval knows no time zone")
        if not 0 <= self.jitter < (_LONGEST_SECONDS if self.every is None else self.every):
            raise ValueError(f"jitter={self.jitter:g} s: it is not negative, and less than the interval")
        if self.cron is not None:
            try:
                next(self._cron(0.0))
            except CronSimError as error:
                raise ValueError(f"cron={self.cron!r} is no cron expression: {error}") from error
            except StopIteration as error:
                raise ValueError(f"cron={self.cron!r} never comes") from error

    def ticks_as(self, other: Timing) -> bool:
        """Return whether the ticks are the same, whenever they are due."""
        return replace(self, jitter=0.0) == replace(other, jitter=0.0)

    def _cron(self, moment: float, *, reverse: bool = False) -> Iterator[datetime]:
        try:
            zone = ZoneInfo(self.zone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError(f"zone={self.zone!r} is no time zone, such as Europe/Berlin") from error
        return CronSim(str(self.cron), datetime.fromtimestamp(moment, zone), reverse=reverse)

    def after(self, moment: float) -> float | None:
        """Return the first tick after `moment`; None where none comes any more."""
        if self.every is not None:
            return (moment // self.every + 1) * self.every
        # From the second before: what is in the second of `moment` itself is no later.
        return next((tick for at in self._cron(moment) if (tick := at.timestamp()) > moment), None)

    def latest(self, *, after: float, upto: float, limit: int) -> list[float]:
        """Return the latest ticks above `after` and at most `upto`, `limit` of them at most, oldest first."""
        return list(takewhile(lambda tick: tick > after, self._backwards(upto, limit)))[::-1]

    def _backwards(self, upto: float, limit: int) -> Iterator[float]:
        if self.every is not None:
            last = upto // self.every
            yield from ((last - step) * self.every for step in range(limit))
            return
        # The calendar looks at what is before a moment.
        backwards = self._cron(math.floor(upto) + 1, reverse=True)
        yield from (at.timestamp() for at, _ in zip(backwards, range(limit), strict=False))

    def due(self, id: str, tick: float) -> float:
        """Return when a tick is due whose job is to be called `id`."""
        return tick + self.jitter * (zlib.crc32(id.encode()) / 2**32)


def tick_id(schedule: str, tick: float) -> str:
    """Return the id of a tick's job: the schedule's name and the tick in UTC, as in `nightly@2026-03-29T01:00:00Z`."""
    return f"{schedule}@{datetime.fromtimestamp(tick, UTC):%Y-%m-%dT%H:%M:%SZ}"
