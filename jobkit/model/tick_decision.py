"""What becomes of the ticks that are due, missed and overlapping ones too.

A decision, made from values, for the store to accept or refuse.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from jobkit.model.schedule import TICKS_LOOKED_AT, LastTick, Schedule
from jobkit.model.tick_policy import Missed, Overlap
from jobkit.model.ticks import tick_id

# How soon a tick is looked at again that waits for the job before it, in seconds.
_HELD_SECONDS = 1.0


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
    ticks = schedule.timing.latest(after=schedule.decided, upto=now, limit=TICKS_LOOKED_AT)
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
