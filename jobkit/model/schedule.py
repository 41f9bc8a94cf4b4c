"""A schedule, and what to do about its ticks: a decision, made from values, for the store to accept or refuse."""

from __future__ import annotations

from dataclasses import dataclass, replace

from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config

from jobkit.model.names import slug
from jobkit.model.priority import Priority
from jobkit.model.tenancy import Tenancy
from jobkit.model.tick_policy import Missed, Overlap
from jobkit.model.ticks import Timing, tick_id

# So many ticks are looked at in one decision: of those that were missed for long, the latest.
LOOKED_AT = 1_000
# No tick is decided after this Unix time, in the year 4969: later ones lie beyond what calendars can calculate.
_LATEST_MOMENT = 94_670_856_000.0
# What a newer jobkit adds would be lost by who reads past it.
_whole = with_config(ConfigDict(extra="forbid"))
# How soon a tick is looked at again that waits for the job before it, in seconds.
_HELD_SECONDS = 1.0


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
        if not 1 <= self.bound <= LOOKED_AT:
            raise ValueError(f"bound={self.bound}: at least 1 and at most {LOOKED_AT} missed ticks can fire")
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
        decided = other.decided if self.timing == other.timing else max(self.decided, other.decided)
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


@dataclass(frozen=True, slots=True)
class Decision:
    """What is to be done: submit a job for each tick of `fire`, and keep `schedule`, to be looked at when it is `due`.

    `missed` and `overlapped` count the ticks that pass without a job, for want of somebody to fire them or because of
    the job before. `held`: the next tick waits for that job.
    """

    schedule: Schedule
    due: float | None
    fire: tuple[float, ...] = ()
    missed: int = 0
    overlapped: int = 0
    held: bool = False


def decide(schedule: Schedule, now: float, *, busy: bool) -> Decision:
    """Return what to do about the ticks that are due `now`. `busy`: the schedule's last job has yet to end."""
    ticks = _due_ticks(schedule, now)
    if schedule.pause is not None or not ticks:
        return Decision(schedule, schedule.due)
    if busy and schedule.overlap is Overlap.WAIT:
        return Decision(schedule, now + _HELD_SECONDS, held=True)
    chosen = _chosen(schedule, ticks, now)
    missed = len(ticks) - len(chosen)
    overlapped = 0
    decided = ticks[-1]
    last = LastTick(decided, passed="missed")
    if schedule.overlap is Overlap.SKIP:
        # The first of several would still run when the next comes.
        overlapped = len(chosen) if busy else max(0, len(chosen) - 1)
        chosen = () if busy else chosen[:1]
        last = LastTick(decided, passed="overlap") if overlapped else last
    elif schedule.overlap is Overlap.WAIT and len(chosen) > 1:
        # One at a time; those behind it are looked at when it has ended.
        decided, chosen = chosen[0], chosen[:1]
    if chosen:
        last_job = tick_id(schedule.name, chosen[-1])
        if chosen[-1] == decided or not overlapped:
            last = LastTick(chosen[-1], job=last_job)
        schedule = replace(schedule, last_job=last_job)
    schedule = replace(schedule, decided=decided, last=last)
    return Decision(schedule, schedule.due, chosen, missed, overlapped)


def _due_ticks(schedule: Schedule, now: float) -> list[float]:
    """Return the ticks that are to be decided: in order, so that one of more jitter has those behind it wait."""
    ticks = schedule.timing.latest(after=schedule.decided, upto=now, limit=LOOKED_AT)
    while ticks and schedule.timing.due(tick_id(schedule.name, ticks[-1]), ticks[-1]) > now:
        ticks.pop()
    return ticks


def _chosen(schedule: Schedule, ticks: list[float], now: float) -> tuple[float, ...]:
    match schedule.missed:
        case Missed.ALL:
            return tuple(ticks[-schedule.bound :])
        case Missed.LATEST:
            return (ticks[-1],)
        case Missed.SKIP:
            due = schedule.timing.due(tick_id(schedule.name, ticks[-1]), ticks[-1])
            return (ticks[-1],) if now - due <= schedule.grace else ()
