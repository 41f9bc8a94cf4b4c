"""A schedule: when it ticks, what each tick submits, and how far it has come."""

from __future__ import annotations

from dataclasses import dataclass, replace

from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config

from jobkit.model.names import slug
from jobkit.model.priority import Priority
from jobkit.model.tenancy import Tenancy
from jobkit.model.tick_policy import Missed, Overlap
from jobkit.model.ticks import Timing, tick_id

# So many ticks are looked at in one decision: of those that were missed for long, the latest.
TICKS_LOOKED_AT = 1_000
# No tick is decided after this Unix time, in the year 4969: later ones lie beyond what calendars can calculate.
_LATEST_MOMENT = 94_670_856_000.0
# What a newer jobkit adds would be lost by who reads past it.
_whole = with_config(ConfigDict(extra="forbid"))


@_whole
@dataclass(frozen=True, slots=True)
class ScheduledJob:
    """What each tick submits. `body` is JSON, a payload of that `version` of its type."""

    type: str
    body: bytes
    key: str | None
    ordered: bool
    priority: Priority = Priority.NORMAL
    version: int = 1
    tenancy: Tenancy | None = None


@_whole
@dataclass(frozen=True, slots=True)
class LastTick:
    """The last tick that was decided: when it was, and its job; None where it did not fire, for the reason `passed`."""

    tick: float
    job: str | None = None
    passed: str | None = None

    def __post_init__(self) -> None:
        _check_moment("the last tick", self.tick)


@_whole
@dataclass(frozen=True, slots=True)
class Pause:
    """Who paused a schedule, when (Unix time), and why."""

    by: str
    at: float
    reason: str = ""

    def __post_init__(self) -> None:
        _check_moment("a pause", self.at)


@_whole
@dataclass(frozen=True, slots=True)
class Schedule:
    """A schedule and how far it has come. Ticks up to `decided` are done with.

    A tick that is less than `grace` seconds late is not missed. `bound` is how many missed ones fire at most.
    `declared`: by a plugin. `last_job` is the latest it has submitted. Raises `ValueError` where it cannot work.
    """

    name: str
    timing: Timing
    job: ScheduledJob
    decided: float
    missed: Missed = Missed.LATEST
    bound: int = 100
    grace: float = 60.0
    overlap: Overlap = Overlap.ALLOW
    declared: bool = False
    pause: Pause | None = None
    last: LastTick | None = None
    last_job: str | None = None

    def __post_init__(self) -> None:
        # It is the beginning of job ids.
        slug(self.name, "the name of a schedule")
        if not 1 <= self.bound <= TICKS_LOOKED_AT:
            raise ValueError(f"bound={self.bound}: at least 1 and at most {TICKS_LOOKED_AT} missed ticks can fire")
        if self.grace < 0:
            raise ValueError(f"grace={self.grace:g} s is negative")
        _check_moment("decided", self.decided)

    def dump(self) -> bytes:
        """Return it as JSON."""
        return _SCHEDULE.dump_json(self)

    @property
    def next_tick(self) -> float | None:
        """The first tick that is not decided; None where none comes, or it is paused."""
        return None if self.pause is not None else self.timing.after(self.decided)

    @property
    def due(self) -> float | None:
        """When its next tick is due."""
        tick = self.next_tick
        return None if tick is None else self.timing.due(tick_id(self.name, tick), tick)

    def same_as(self, other: Schedule) -> bool:
        """Return whether both say the same of what is to happen, however far each has come."""
        return self.come_as_far_as(other) == other

    def come_as_far_as(self, other: Schedule) -> Schedule:
        """Return this schedule where `other` was; its ticks begin anew after `decided` where they are not the same."""
        decided = other.decided if self.timing.ticks_as(other.timing) else max(self.decided, other.decided)
        return replace(self, decided=decided, pause=other.pause, last=other.last, last_job=other.last_job)


def _check_moment(what: str, at: float) -> None:
    if not 0 <= at <= _LATEST_MOMENT:
        raise ValueError(f"{what}={at:g} is no Unix time of a calendar's")


_SCHEDULE = TypeAdapter(Schedule)


def load_schedule(definition: bytes) -> Schedule:
    """Return the schedule that `dump` made `definition` from. Raises `ValueError`, which names what is wrong."""
    try:
        return _SCHEDULE.validate_json(definition)
    except ValidationError as error:
        problems = [f"{'.'.join(map(str, item['loc'])) or 'definition'}: {item['msg']}" for item in error.errors()]
        raise ValueError("; ".join(problems)) from error
