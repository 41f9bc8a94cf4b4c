"""The invariants of the design, checked on what was committed and on how it came about."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from jobkit.model.fence import Fence
from jobkit.model.layout import Layout
from jobkit.model.pause import Pause, Scope, pause_of
from jobkit.model.priority import Priority
from jobkit.ports.broker import QueueDepth
from jobkit.ports.checkpoints import Checkpoint
from jobkit.ports.coordinator import LeaseRef
from jobkit.ports.inspection import JobRecord, JobState, KeyRecord, LoggedEntry, StoreCounts
from jobkit.ports.planes import Planes
from simulation.history import (
    Attempted,
    Begun,
    Cancelled,
    Claimed,
    Consuming,
    Event,
    Forgot,
    Grant,
    History,
    Mark,
    Paused,
    Postponed,
    Release,
    Renewal,
    Repartitioned,
    Reprioritized,
    Resumed,
    Said,
    Step,
    Stray,
    Unfair,
    Write,
)
from simulation.kept_work import what_is_kept
from simulation.timetable import Ticks

# Who waits for a retry where it failed does so on its own clock, of which so much drift is allowed; and rounding.
_DRIFT = 0.02
_ROUNDING = 1e-6
# A worker that has heard of a pause may still begin what it was claiming and opening then, each with a slow answer.
_HEED_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Violation:
    """An invariant, by its name in the design, and how it was broken."""

    invariant: str
    detail: str
    at: float | None = None


@dataclass(frozen=True, slots=True)
class Expectation:
    """What a schedule promised: the ids that were accepted, those among them that must end as dead letters.

    `cancelled` has the sequences of the jobs of which a person was told that they are, `keys` the type and key of each
    that was ordered. `due` has the moments before which jobs were not due. `max_failures` bounds the failed attempts of
    a job. `forgetting`: what has ended may be unknown by now. Of what is paused nothing begins `heard_within` so many
    seconds later, where that can be said. Of the types in `at_once` no more jobs run at once than it says, of those in
    `begins` no more begin, for each key, within so many seconds. `ticks` are those of the schedules. The jobs in
    `submitted` take effect in that order on each key, whether they are numbered or not. `groups` have the members of
    each, by the job that closes it.
    """

    accepted: Sequence[str]
    dead: frozenset[str]
    ordered_types: frozenset[str]
    max_failures: int
    forgetting: bool = False
    heard_within: float | None = None
    partitions: int = 1
    cancelled: Mapping[str, int | None] = field(default_factory=dict)
    keys: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    due: Mapping[str, float] = field(default_factory=dict)
    at_once: Mapping[str, int] = field(default_factory=dict)
    begins: Mapping[str, tuple[int, float]] = field(default_factory=dict)
    ticks: Sequence[Ticks] = ()
    groups: Mapping[str, Sequence[str]] = field(default_factory=dict)
    submitted: Sequence[str] = ()

    def wanted(self, id: str) -> JobState:
        """Return how a job that was accepted is to end."""
        if id in self.cancelled:
            return JobState.CANCELLED
        return JobState.DEAD if id in self.dead else JobState.COMMITTED


@dataclass(frozen=True, slots=True)
class Truth:
    """What the store and the broker hold at the end."""

    jobs: Mapping[str, JobRecord | None]
    keys: Sequence[KeyRecord]
    logs: Mapping[str, Sequence[LoggedEntry]]
    counts: StoreCounts
    depths: Sequence[QueueDepth]
    layouts: Mapping[str, Layout] = field(default_factory=dict)
    kept: Mapping[str, Sequence[Checkpoint]] = field(default_factory=dict)

    @classmethod
    async def of(cls, planes: Planes, accepted: Sequence[str]) -> Truth:
        """Read it, past the simulated network."""
        keys = await planes.inspection.keys(limit=100_000)
        return cls(
            jobs={id: await planes.inspection.job(id) for id in accepted},
            keys=keys,
            logs={
                f"{key.type}/{key.key}": await planes.inspection.log(key.type, key.key, limit=100_000) for key in keys
            },
            counts=await planes.inspection.counts(),
            depths=await planes.broker.depths(),
            layouts=await planes.store.layouts(),
            kept={id: await planes.store.checkpoints(id) for id in accepted},
        )


def violations(history: History, truth: Truth, expected: Expectation) -> list[Violation]:
    """Return all that is wrong, in the order of the invariants."""
    found = [
        *single_effect(truth, expected),
        *fencing(history.events, truth),
        *order(truth, expected),
        *order_of_submission(truth, expected.submitted),
        *no_lease_no_work(history.events),
        *grants_increase(history.events),
        *bounded(truth, expected),
        *ended_everywhere(history.events),
        *tenants_take_turns(history.events),
        *backoff(history.events),
        *not_before_due(history.events, expected),
        *paused_begins_nothing(history, expected),
        *repartitioned(history.events, truth, expected),
        *cancelled_for_good(history.events, truth, expected),
        *moved_for_good(history.events),
        *one_of_a_name(history.events),
        *run_at_once(history.events, expected.at_once),
        *began_within(history.events, expected.begins),
        *ticks_fire_once(truth, expected.ticks),
        *(Violation("kept", detail, at) for detail, at in what_is_kept(history.events)),
        *then_comes_last(history.events, expected.groups),
    ]
    crashes = [said for said in history.said if said.event == "unexpected error"]
    return found + [Violation("loud", f"{said.node}: {said.fields}", said.at) for said in crashes]


def single_effect(truth: Truth, expected: Expectation) -> Iterator[Violation]:
    """Each job id took effect at most once; each accepted job did exactly once or is a dead letter (nothing-lost)."""
    effects = Counter(entry.job_id for log in truth.logs.values() for entry in log)
    for id, times in effects.items():
        if times > 1:
            yield Violation("single-effect", f"job {id} took effect {times} times")
    for id in expected.accepted:
        job = truth.jobs[id]
        state = job.state if job else None
        wanted = expected.wanted(id)
        if job is None and expected.forgetting and effects[id] == (wanted is JobState.COMMITTED):
            continue
        if state is not wanted:
            yield Violation("nothing-lost", f"job {id} is {state or 'unknown'}, should be {wanted}: {job}")
        if effects[id] != (wanted is JobState.COMMITTED) and effects[id] < 2:
            yield Violation("single-effect", f"job {id} is {state} and took effect {effects[id]} times")
    for id in effects.keys() - set(expected.accepted):
        yield Violation("single-effect", f"job {id} took effect and was never accepted")


def fencing(events: Sequence[Event], truth: Truth) -> Iterator[Violation]:
    """Tokens never fall along a key's log; nothing is written under a fence after a newer one was registered."""
    for resource, log in truth.logs.items():
        tokens = [entry.token for entry in log]
        if tokens != sorted(tokens):
            yield Violation("fencing", f"tokens fall along the log of {resource}: {tokens}")
    marks: dict[str, Fence] = {}
    for event in events:
        if isinstance(event, Mark):
            mark = marks.get(event.resource)
            if mark is not None and event.fence.token < mark.token:
                yield Violation("fencing", f"the mark of {event.resource} fell from {mark} to {event.fence}", event.at)
            if mark is not None and event.fence.token == mark.token and event.fence.nonce != mark.nonce:
                yield Violation("fencing", f"{event.resource} was opened under {mark} and {event.fence}", event.at)
            marks[event.resource] = event.fence
        elif isinstance(event, Write) and not event.again:
            mark = marks.get(event.resource)
            if mark is None or (mark.token, mark.nonce) != (event.fence.token, event.fence.nonce):
                detail = f"{event.action} of job {event.job} under {event.fence} was accepted, the mark is {mark}"
                yield Violation("fencing", detail, event.at)


def order(truth: Truth, expected: Expectation) -> Iterator[Violation]:
    """On ordered keys the log holds sequences 1 to n in order; only planned dead letters and cancelled ones miss."""
    for key in truth.keys:
        if key.type not in expected.ordered_types:
            continue
        planned = [truth.jobs[id] for id in sorted(expected.dead)]
        missing = {job.sequence for job in planned if job and (job.type, job.key) == (key.type, key.key)}
        missing |= {sequence for id, sequence in expected.cancelled.items() if expected.keys[id] == (key.type, key.key)}
        found = [entry.sequence for entry in truth.logs[f"{key.type}/{key.key}"]]
        wanted = [number for number in range(1, key.submitted_sequence + 1) if number not in missing]
        if found != wanted:
            yield Violation("order", f"{key.type}/{key.key} took effect as {found}, should be {wanted}")


def order_of_submission(truth: Truth, submitted: Sequence[str]) -> Iterator[Violation]:
    """Where nothing fails, the jobs of a key take effect as they were submitted, numbered or not."""
    place = {id: number for number, id in enumerate(submitted)}
    for resource, log in truth.logs.items():
        places = [place[entry.job_id] for entry in log if entry.job_id in place]
        for before, after in pairwise(places):
            if after < before:
                detail = f"{submitted[after]} was submitted to {resource} before {submitted[before]}, and ran after it"
                yield Violation("order", detail)


@dataclass(slots=True)
class _Holding:
    """A lease as the coordinator knows it. `forgotten`: from before it lost its data."""

    lease: LeaseRef
    owner: str
    expires: float
    released: bool = False
    forgotten: bool = False
    began: bool = False

    def over(self, at: float) -> bool:
        """Tell whether the coordinator may grant the resource to somebody else."""
        return self.released or self.forgotten or at >= self.expires

    def fault(self, at: float, resource: str, newest: Mapping[str, LeaseRef]) -> str:
        """Return why nobody may work under it at that time, or an empty string."""
        if self.released:
            return "which was released"
        if at >= self.expires:
            return f"which expired at {self.expires}"
        if not self.forgotten and newest[resource].token > self.lease.token:
            return f"while {newest[resource]} was granted"
        return ""


def no_lease_no_work(events: Sequence[Event]) -> Iterator[Violation]:
    """No processor runs, no write is tried and no queue consumed without a lease that lives on the coordinator's clock.

    What a processor does in the very instant its node goes on after a pause is let go: no program can prevent it.
    """
    holdings: dict[tuple[str, int, str], _Holding] = {}
    newest: dict[str, LeaseRef] = {}
    leading: dict[tuple[str, str], list[_Holding]] = defaultdict(list)
    for event in events:
        match event:
            case Grant(at, lease, owner, ttl):
                key = (lease.resource, lease.token, lease.nonce)
                # Told again, a grant extends nothing.
                if key not in holdings or holdings[key].forgotten:
                    last = newest.get(lease.resource)
                    if last is not None and not holdings[last.resource, last.token, last.nonce].over(at):
                        yield Violation("no-lease-no-work", f"{lease} was granted while {last} lived", at)
                    holdings[key] = _Holding(lease, owner, at + ttl)
                    leading[lease.resource, owner].append(holdings[key])
                newest[lease.resource] = lease
            case Renewal(at, lease, ttl):
                holdings[lease.resource, lease.token, lease.nonce].expires = at + ttl
            case Release(_, lease):
                holdings[lease.resource, lease.token, lease.nonce].released = True
            case Forgot():
                for holding in holdings.values():
                    holding.forgotten = True
            case Step(at, node, resource, job, _, fence, resumed):
                if not resumed and (fault := _fault_of(holdings, newest, resource, fence, at)):
                    yield Violation("no-lease-no-work", f"{node} processed {job} under {fence}, {fault}", at)
            case Attempted(at, node, action, resource, job, fence):
                if fault := _fault_of(holdings, newest, resource, fence, at):
                    yield Violation("no-lease-no-work", f"{node} tried to {action} {job} under {fence}, {fault}", at)
            case Consuming(at, node, partition, owner, resumed):
                held = leading[partition.resource, owner]
                if not resumed and not any(not holding.released and at < holding.expires for holding in held):
                    yield Violation("no-lease-no-work", f"{node} consumed {partition} without leading it", at)


def _fault_of(
    holdings: Mapping[tuple[str, int, str], _Holding],
    newest: Mapping[str, LeaseRef],
    resource: str,
    fence: Fence,
    at: float,
) -> str:
    holding = holdings.get((resource, fence.token, fence.nonce))
    return "which was never granted" if holding is None else holding.fault(at, resource, newest)


def run_at_once(events: Sequence[Event], most: Mapping[str, int]) -> Iterator[Violation]:
    """No more jobs of a type run at once, under leases that live, than its limit says.

    Where the coordinator lost its data, those that ran then do not count against it until their leases end.
    """
    holdings: dict[tuple[str, int, str], _Holding] = {}
    for event in events:
        match event:
            case Grant(at, lease, owner, ttl):
                holdings.setdefault((lease.resource, lease.token, lease.nonce), _Holding(lease, owner, at + ttl))
            case Renewal(at, lease, ttl):
                holdings[lease.resource, lease.token, lease.nonce].expires = at + ttl
            case Release(_, lease):
                holdings[lease.resource, lease.token, lease.nonce].released = True
            case Forgot():
                for holding in holdings.values():
                    holding.forgotten = True
            case Step(at, node, resource, job, _, fence, resumed) if resource.partition("/")[0] in most:
                type = resource.partition("/")[0]
                here = holdings.get((resource, fence.token, fence.nonce))
                if here is None or resumed or here.over(at):
                    continue
                here.began = True
                running = [
                    holding.lease.resource
                    for holding in holdings.values()
                    if holding.began and not holding.over(at) and holding.lease.resource.startswith(f"{type}/")
                ]
                if len(running) > most[type]:
                    yield Violation("limits", f"{node} processed {job} while {running} run, {most[type]} may", at)


def began_within(events: Sequence[Event], most: Mapping[str, tuple[int, float]]) -> Iterator[Violation]:
    """No more jobs of a key begin within a time, as the coordinator granted it, than the limit of their type says."""
    granted: dict[tuple[str, int, str], float] = {}
    began: dict[tuple[str, int, str], None] = {}
    forgot = [event.at for event in events if isinstance(event, Forgot)]
    for event in events:
        match event:
            case Grant(at, lease):
                granted.setdefault((lease.resource, lease.token, lease.nonce), at)
            case Step(_, _, resource, _, _, fence, _):
                began[resource, fence.token, fence.nonce] = None
    times: dict[str, list[float]] = defaultdict(list)
    for holding in [one for one in began if one in granted and one[0].partition("/")[0] in most]:
        times[holding[0]].append(granted[holding])
    for resource, found in times.items():
        count, seconds = most[resource.partition("/")[0]]
        for first, later in zip(sorted(found), sorted(found)[count:], strict=False):
            if later - first < seconds - _ROUNDING and not any(first <= at <= later for at in forgot):
                detail = f"{count + 1} jobs of {resource} began within {later - first:g} s, {count} may in {seconds:g}"
                yield Violation("limits", detail, later)


def grants_increase(events: Sequence[Event]) -> Iterator[Violation]:
    """Along each resource the tokens that are granted rise, and lie above the floor asked for.

    A coordinator that lost its data starts again.
    """
    highest: dict[str, LeaseRef] = {}
    for event in events:
        if isinstance(event, Forgot):
            highest.clear()
        elif isinstance(event, Grant):
            last = highest.get(event.lease.resource)
            if event.lease != last and last is not None and event.lease.token <= last.token:
                yield Violation("fencing", f"{event.lease} was granted after {last}", event.at)
            if event.lease.token <= event.floor and event.lease != last:
                yield Violation("fencing", f"{event.lease} was granted, asked for above {event.floor}", event.at)
            highest[event.lease.resource] = event.lease


def bounded(truth: Truth, expected: Expectation) -> Iterator[Violation]:
    """Nothing is left behind, and no job was tried more often than its policy allows."""
    left = {"outbox": truth.counts.outbox, "in flight": truth.counts.shelved, "parked": truth.counts.parked}
    for name, count in left.items():
        if count:
            yield Violation("bounded", f"{count} left in the table of what is {name}")
    for depth in truth.depths:
        if depth.ready or depth.delayed:
            yield Violation("bounded", f"messages are left in {depth}")
    for id, kept in truth.kept.items():
        job = truth.jobs[id]
        if kept and job is not None and job.state is not JobState.DEAD:
            yield Violation("bounded", f"of job {id}, which is {job.state}, {kept} is kept")
    for id, job in truth.jobs.items():
        if job is not None and len(job.failures) > expected.max_failures:
            yield Violation("bounded", f"job {id} failed {len(job.failures)} times")


def ended_everywhere(events: Sequence[Event]) -> Iterator[Violation]:
    """A job that has ended is in no table that would bring it to a worker again."""
    for event in events:
        if isinstance(event, Stray):
            yield Violation("ended", f"job {event.job} had ended and was still in {event.place}", event.at)


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


def then_comes_last(events: Sequence[Event], groups: Mapping[str, Sequence[str]]) -> Iterator[Violation]:
    """No job that closes a group begins before each of its members has ended.

    That it does begin then, and takes effect once or dies as its group says, is asked of it as of any accepted job.
    """
    ended: set[str] = set()
    for event in events:
        match event:
            case Write(_, "commit" | "bury", _, job) | Cancelled(_, job):
                ended.add(job)
            case Step(at, _, _, job) if left := [member for member in groups.get(job, ()) if member not in ended]:
                yield Violation("groups", f"{job} began before {', '.join(left)} ended", at)


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


def repartitioned(events: Sequence[Event], truth: Truth, expected: Expectation) -> Iterator[Violation]:
    """Each type has as many partitions as were asked for last, and just as many queues."""
    wanted = {event.type: event.partitions for event in events if isinstance(event, Repartitioned)}
    queues = Counter(depth.partition.type for depth in truth.depths)
    for type, layout in truth.layouts.items():
        number = wanted.get(type, expected.partitions)
        if not layout.settled or layout.partitions != number:
            yield Violation("partitions", f"{type} is to have {number} partitions: {layout}")
        if queues[type] != number:
            yield Violation("partitions", f"{type} is to have {number} partitions, and has {queues[type]} queues")


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


def by_invariant(found: Sequence[Violation]) -> dict[str, list[Violation]]:
    """Return violations grouped by the invariant they break."""
    groups: dict[str, list[Violation]] = defaultdict(list)
    for violation in found:
        groups[violation.invariant].append(violation)
    return dict(groups)
