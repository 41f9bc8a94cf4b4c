"""What people were told, and when jobs were to begin: cancelled, paused, of another priority, later, unique, ticks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from jobkit.model.fence import Fence
from jobkit.model.pause import Pause, Scope, pause_of
from jobkit.model.priority import Priority
from simulation.events import (
    Begun,
    Cancelled,
    Claimed,
    Event,
    Mark,
    Paused,
    Postponed,
    Repartitioned,
    Reprioritized,
    Resumed,
    Said,
    Step,
    Unfair,
    Write,
)
from simulation.expectation import Expectation, Truth, Violation
from simulation.history import History
from simulation.timetable import Ticks

# Who waits for a retry where it failed does so on its own clock, of which so much drift is allowed; and rounding.
_DRIFT = 0.02
_ROUNDING = 1e-6
# A worker that has heard of a pause may still begin what it was claiming and opening then, each with a slow answer.
_HEED_SECONDS = 10.0


def tenants_take_turns(events: Sequence[Event]) -> Iterator[Violation]:
    """A tenant has no more jobs on their way than it has places, and none waits while one of those is free."""
    for event in events:
        if isinstance(event, Unfair):
            yield Violation(
                "tenants", f"{event.tenant} has {event.placed} jobs on their way, {event.waiting} wait", event.at
            )


def backoff(events: Sequence[Event]) -> Iterator[Violation]:
    """No attempt begins before it is due, whichever worker makes it."""
    due: dict[tuple[str, int], float] = {}
    for event in events:
        match event:
            case Postponed(noted, job, attempt, until):
                # Noted again, the first time counts.
                due.setdefault((job, attempt), until - _DRIFT * (until - noted) - _ROUNDING)
            case Step(at, _, _, job, attempt) if at < due.get((job, attempt), 0.0):
                yield Violation(
                    "backoff", f"attempt {attempt} of job {job} began {due[job, attempt] - at:.3f} s early", at
                )


def not_before_due(events: Sequence[Event], expected: Expectation) -> Iterator[Violation]:
    """No job that is to run later begins before, whichever clock is wrong."""
    for event in events:
        if isinstance(event, Step) and event.at < expected.due.get(event.job, 0.0) - _ROUNDING:
            yield Violation(
                "later", f"job {event.job} began {expected.due[event.job] - event.at:.3f} s early", event.at
            )


def cancelled_for_good(events: Sequence[Event], truth: Truth, expected: Expectation) -> Iterator[Violation]:
    """What a person was told is cancelled has no effect: no entry, no letter, no follow-up."""
    told: set[str] = set()
    for event in events:
        if isinstance(event, Cancelled):
            told.add(event.job)
        elif isinstance(event, Write) and event.job in told and event.action in {"commit", "bury"}:
            yield Violation("cancelled", f"job {event.job} was cancelled, and {event.action} was accepted", event.at)
    effects = {entry.job_id for log in truth.logs.values() for entry in log}
    for id in expected.cancelled:
        if id in effects:
            yield Violation("cancelled", f"job {id} was cancelled and took effect")
        for follow_up in effects | {known for known, job in truth.jobs.items() if job is not None}:
            if follow_up.startswith(f"{id}."):
                yield Violation("cancelled", f"job {id} was cancelled, and its follow-up {follow_up} is there")


def moved_for_good(events: Sequence[Event]) -> Iterator[Violation]:
    """What a person was told has another priority is begun with no message of the one before."""
    told: dict[str, Priority] = {}
    for event in events:
        match event:
            case Reprioritized(_, job, priority):
                told[job] = priority
            case Begun(at, job, priority) if told.get(job, priority) is not priority:
                yield Violation("priority", f"job {job} began as {priority} and is {told[job]} by now", at)


def high_first(events: Sequence[Event], ready: Mapping[str, float], queue: Mapping[str, int]) -> Iterator[Violation]:
    """No normal job begins while a high one of its `queue` is `ready` and has not begun.

    Low ones may, where it is their turn; so may normal ones, behind several high ones.
    """
    waiting = dict(ready)
    for event in events:
        match event:
            case Begun(_, job, Priority.HIGH):
                waiting.pop(job, None)
            case Begun(at, job, Priority.NORMAL):
                passed = [other for other, since in waiting.items() if since <= at and queue[other] == queue[job]]
                if passed:
                    yield Violation("priority", f"{job} began before {', '.join(passed)}", at)


def one_of_a_name(events: Sequence[Event]) -> Iterator[Violation]:
    """One job at a time holds a unique name; none is turned away but for it, and what it replaced never begins."""
    holders: dict[tuple[str, str], tuple[str, bool]] = {}
    begun: set[str] = set()
    replaced: set[str] = set()

    def free(job: str, *, only_while_queued: bool) -> None:
        for name, (holder, while_queued) in list(holders.items()):
            if holder == job and (while_queued or not only_while_queued):
                del holders[name]

    for event in events:
        match event:
            case Claimed(at, job, name, _, str() as kept):
                if holders.get(name, ("",))[0] != kept:
                    yield Violation(
                        "unique", f"{job} was turned away for {kept}, but {name} had {holders.get(name)}", at
                    )
            case Claimed(at, job, name, while_, None, instead):
                if name in holders and holders[name][0] != instead:
                    yield Violation("unique", f"{job} was accepted as {name}, which {holders[name]} held", at)
                if instead in begun:
                    yield Violation("unique", f"{job} replaced {instead}, which had begun", at)
                replaced |= {instead} if instead is not None else set()
                holders[name] = (job, while_ == "queued")
            case Mark(at, _, _, str() as job):
                if job in replaced:
                    yield Violation("unique", f"{job} began, although it was replaced", at)
                begun.add(job)
                free(job, only_while_queued=True)
            case Write(_, "commit" | "bury", _, job) | Cancelled(_, job):
                free(job, only_while_queued=False)


def paused_begins_nothing(history: History, expected: Expectation) -> Iterator[Violation]:
    """No attempt begins in what is paused: not on a worker that has heard of it, and soon not on any."""
    paused: dict[Scope, float] = {}
    heard: dict[tuple[str, Scope], float] = {}
    begun: set[tuple[str, str, int, Fence]] = set()
    changed = {event.type for event in history.events if isinstance(event, Repartitioned)}
    both: list[Event] = sorted([*history.said, *history.events], key=lambda event: event.at)
    for event in both:
        match event:
            case Paused(at, scope):
                paused.setdefault(scope, at)
            case Resumed(_, scope):
                paused.pop(scope, None)
            case Said(at, node, _, "paused", fields):
                heard.update({(node, scope): at for scope in paused if fields.startswith(f"scope={str(scope)!r} ")})
            case Step(at, node, resource, job, attempt, fence, resumed):
                first = (node, job, attempt, fence) not in begun
                begun.add((node, job, attempt, fence))
                type, _, key = resource.partition("/")
                for scope, since in paused.items():
                    if scope.partition is not None and scope.type in changed:
                        # Which keys are in it depends on what each worker has heard.
                        continue
                    holds = pause_of([Pause(scope, "", "", since)], type, key, expected.partitions)
                    if holds is None or not first or resumed:
                        continue
                    told = heard.get((node, scope), float("-inf"))
                    late = expected.heard_within is not None and at > since + expected.heard_within
                    if late or (told >= since and at > told + _HEED_SECONDS):
                        yield Violation("paused", f"{node} began {job} {at - since:.1f} s after {scope} was paused", at)


def ticks_fire_once(truth: Truth, schedules: Sequence[Ticks]) -> Iterator[Violation]:
    """No tick fires twice, whatever its jobs are called, and none of a paused schedule; each fires that has to."""
    effects = [entry.job_id for log in truth.logs.values() for entry in log]
    for ticks in schedules:
        # The id of a tick's job ends with the zone.
        fired = Counter(id[: id.index("Z") + 1] for id in effects if id.startswith(f"{ticks.name}@"))
        for id, times in fired.items():
            if times > 1:
                yield Violation("ticks", f"tick {id} fired {times} times")
            if id not in ticks.at:
                yield Violation("paused", f"tick {id} fired while its schedule was paused")
        for id in sorted(ticks.at.keys() - fired.keys()) if ticks.each else ():
            yield Violation("ticks", f"tick {id} never fired")
