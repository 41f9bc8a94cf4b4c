"""The checker turns red for each way to break an invariant, and stays green for what only looks like one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import pytest

from jobkit.model.fence import Fence
from jobkit.model.partition import Partition
from jobkit.model.unique import While
from jobkit.ports.broker import QueueDepth
from jobkit.ports.coordinator import LeaseRef
from jobkit.ports.inspection import JobRecord, JobState, KeyRecord, LoggedEntry, StoreCounts
from simulation.effects import bounded, fencing, order, single_effect
from simulation.events import (
    Attempted,
    Cancelled,
    Claimed,
    Consuming,
    Event,
    Forgot,
    Grant,
    LeftOpen,
    Mark,
    Postponed,
    Release,
    Renewal,
    Step,
    Trimmed,
    Write,
)
from simulation.expectation import Expectation, Members, Truth
from simulation.groups import settled_at_once, then_comes_last
from simulation.leases import grants_increase, no_lease_no_work
from simulation.notices import told_once
from simulation.steering import backoff, cancelled_for_good, not_before_due, one_of_a_name, ticks_fire_once
from simulation.timetable import Ticks
from simulation.trimming import Dropped, Trimmings, nothing_missed
from simulation.work import LOOSE

KEY = "t/k"


def lease(token: int, resource: str = KEY) -> LeaseRef:
    return LeaseRef(resource, token, f"n{token}")


def fence(token: int, owner: str = "a") -> Fence:
    return Fence(token, f"n{token}", owner)


def grant(at: float, token: int, owner: str = "a", resource: str = KEY, floor: int = 0) -> Grant:
    return Grant(at, lease(token, resource), owner, 10.0, floor)


def step(at: float, token: int, *, resumed: bool = False) -> Step:
    return Step(at, "a", KEY, "j", 1, fence(token), resumed)


def write(at: float, token: int, *, again: bool = False) -> Write:
    return Write(at, "commit", KEY, "j", fence(token), again)


def entry(job: str, sequence: int | None, token: int) -> LoggedEntry:
    return LoggedEntry(1, "done", b"{}", job, sequence, token, 0.0)


def job(id: str, state: JobState, sequence: int | None = None) -> JobRecord:
    return JobRecord(id, "t", "k", sequence, state, None, None, 1, (), 1.0, "", None, 0.0, None, None)


def truth(jobs: Sequence[JobRecord], log: Sequence[LoggedEntry], submitted: int = 0) -> Truth:
    key = KeyRecord("t", "k", 1, "n1", "a", submitted, submitted, len(log), ())
    counts = StoreCounts({}, outbox=0, shelved=0, parked=0, dead=0, keys=1)
    return Truth({job.id: job for job in jobs}, [key], {KEY: log}, counts, [])


def expecting(*accepted: str, dead: Sequence[str] = ()) -> Expectation:
    return Expectation(accepted, frozenset(dead), frozenset({"t"}), 3)


NOTHING = truth([], [])


@pytest.mark.parametrize(
    ("jobs", "log", "names"),
    [
        ([job("j", JobState.COMMITTED)], [entry("j", 1, 1)], set()),
        ([job("j", JobState.COMMITTED)], [entry("j", 1, 1), entry("j", 1, 2)], {"single-effect"}),
        ([job("j", JobState.COMMITTED)], [], {"single-effect"}),
        ([job("j", JobState.QUEUED)], [], {"nothing-lost", "single-effect"}),
        ([job("j", JobState.DEAD)], [], {"nothing-lost", "single-effect"}),
        ([job("j", JobState.COMMITTED)], [entry("j", 1, 1), entry("x", 2, 1)], {"single-effect"}),
    ],
)
def test_each_accepted_job_takes_effect_once(
    jobs: Sequence[JobRecord], log: Sequence[LoggedEntry], names: set[str]
) -> None:
    assert {found.invariant for found in single_effect(truth(jobs, log), expecting("j"))} == names


def test_a_planned_dead_letter_has_no_effect() -> None:
    dead = truth([job("j", JobState.DEAD)], [])
    assert not list(single_effect(dead, expecting("j", dead="j")))
    committed = truth([job("j", JobState.DEAD)], [entry("j", 1, 1)])
    assert list(single_effect(committed, expecting("j", dead="j")))


@pytest.mark.parametrize(
    ("sequences", "sound"), [([1, 2, 3], True), ([1, 3, 2], False), ([1, 3], False), ([1, 2], False), ([2, 3], False)]
)
def test_effects_are_in_order_without_a_hole(sequences: Sequence[int], sound: bool) -> None:
    log = [entry(f"j{sequence}", sequence, 1) for sequence in sequences]
    assert (not list(order(truth([], log, submitted=3), expecting()))) is sound


def test_only_a_planned_dead_letter_may_miss() -> None:
    log = [entry("j1", 1, 1), entry("j3", 3, 1)]
    records = [job("j2", JobState.DEAD, 2)]
    assert not list(order(truth(records, log, submitted=3), expecting("j2", dead=["j2"])))
    assert list(order(truth(records, log, submitted=3), expecting("j2")))


@pytest.mark.parametrize(
    ("events", "sound"),
    [
        ([Mark(1, KEY, fence(1)), write(2, 1), Mark(3, KEY, fence(2)), write(4, 2)], True),
        ([Mark(1, KEY, fence(1)), Mark(2, KEY, fence(2)), write(3, 1)], False),
        ([Mark(1, KEY, fence(1)), write(2, 1), Mark(3, KEY, fence(2)), write(4, 1, again=True)], True),
        ([Mark(1, KEY, fence(2)), Mark(2, KEY, fence(1))], False),
        ([Mark(1, KEY, fence(1)), Mark(2, KEY, replace(fence(1), nonce="other"))], False),
        ([write(1, 1)], False),
    ],
)
def test_nothing_is_written_below_the_mark(events: Sequence[Event], sound: bool) -> None:
    assert (not list(fencing(events, NOTHING))) is sound


def test_tokens_do_not_fall_along_a_log() -> None:
    assert list(fencing([], truth([], [entry("a", 1, 2), entry("b", 2, 1)])))


PARTITION = Partition("t", 0)


def consuming(at: float, *, resumed: bool = False) -> Consuming:
    return Consuming(at, "a", PARTITION, "a", resumed)


@pytest.mark.parametrize(
    ("events", "sound"),
    [
        ([grant(1, 1), step(2, 1), Release(3, lease(1)), grant(4, 2), step(5, 2)], True),
        ([step(2, 1)], False),
        ([grant(1, 1), step(11, 1)], False),
        ([grant(1, 1), Renewal(9, lease(1), 10.0), step(18, 1)], True),
        ([grant(1, 1), grant(5, 1), step(12, 1)], False),
        ([grant(1, 1), step(11, 1, resumed=True)], True),
        ([grant(1, 1), Release(2, lease(1)), step(3, 1)], False),
        ([grant(1, 1), grant(12, 2), step(12, 2)], True),
        ([grant(1, 1), grant(5, 2, "b")], False),
        ([grant(1, 1), Forgot(3), grant(5, 1, "b"), step(6, 1)], True),
        ([grant(1, 1), Attempted(2, "a", "commit", KEY, "j", fence(1))], True),
        ([grant(1, 1), Attempted(12, "a", "commit", KEY, "j", fence(1))], False),
        ([grant(1, 1), Attempted(2, "a", "commit", KEY, "j", replace(fence(1), nonce="other"))], False),
        ([grant(1, 1, "a", PARTITION.resource), consuming(2)], True),
        ([grant(1, 1, "b", PARTITION.resource), consuming(2)], False),
        ([grant(1, 1, "a", PARTITION.resource), consuming(12)], False),
        ([grant(1, 1, "a", PARTITION.resource), consuming(12, resumed=True)], True),
    ],
)
def test_no_lease_no_work(events: Sequence[Event], sound: bool) -> None:
    assert (not list(no_lease_no_work(events))) is sound


@pytest.mark.parametrize(
    ("events", "sound"),
    [
        ([grant(1, 1), grant(2, 2), grant(3, 5)], True),
        ([grant(1, 2), grant(2, 2)], True),
        ([grant(1, 2), grant(2, 1)], False),
        ([grant(1, 2), Forgot(2), grant(3, 1)], True),
        ([grant(1, 3, floor=7)], False),
        ([grant(1, 8, floor=7)], True),
    ],
)
def test_tokens_rise_from_grant_to_grant(events: Sequence[Event], sound: bool) -> None:
    assert (not list(grants_increase(events))) is sound


def test_nothing_may_be_left_behind() -> None:
    clean = truth([], [])
    assert not list(bounded(clean, expecting()))
    for counts in (
        replace(clean.counts, outbox=1),
        replace(clean.counts, shelved=1),
        replace(clean.counts, parked=1),
    ):
        assert list(bounded(replace(clean, counts=counts), expecting()))
    assert list(bounded(replace(clean, depths=[QueueDepth(PARTITION, 1, 0, None)]), expecting()))


def test_an_attempt_that_begins_before_it_is_due_is_found() -> None:
    postponed = Postponed(1.0, "j", 2, 9.0)
    assert list(backoff([step(0.5, 1), postponed, replace(step(9.0, 2), attempt=2)])) == []
    (found,) = backoff([postponed, replace(step(8.0, 2), attempt=2)])
    assert (found.invariant, found.at) == ("backoff", 8.0)


def test_a_job_that_begins_before_it_is_to_run_is_found() -> None:
    expected = Expectation(["j"], frozenset(), frozenset(), 3, due={"j": 2.0})
    assert list(not_before_due([step(2.0, 1)], expected)) == []
    (found,) = not_before_due([step(1.5, 1)], expected)
    assert (found.invariant, found.at) == ("later", 1.5)


@pytest.mark.parametrize(
    ("events", "log", "known", "broken"),
    [
        ([Cancelled(1, "j")], [], [], set()),
        ([Cancelled(1, "j")], [entry("j", 1, 1)], [], {"cancelled"}),
        ([write(1, 1), Cancelled(2, "other")], [], [], set()),
        ([Cancelled(1, "j"), write(2, 1)], [], [], {"cancelled"}),
        ([Cancelled(1, "j")], [], [job("j.0", JobState.QUEUED)], {"cancelled"}),
    ],
)
def test_what_is_cancelled_has_no_effect(
    events: list[Event], log: list[LoggedEntry], known: list[JobRecord], broken: set[str]
) -> None:
    expected = Expectation(["j"], frozenset(), frozenset({"t"}), 3, cancelled={"j": 1}, keys={"j": ("t", "k")})
    found = cancelled_for_good(events, truth([job("j", JobState.CANCELLED), *known], log), expected)
    assert {violation.invariant for violation in found} == broken


TICK, LATER = "s@2025-06-15T15:06:40Z", "s@2025-06-15T15:06:46Z"


@pytest.mark.parametrize(
    ("effects", "each", "broken"),
    [
        ((TICK, LATER), True, set()),
        ((TICK,), False, set()),
        ((TICK,), True, {"ticks"}),
        ((TICK, f"{TICK}.7", LATER), True, {"ticks"}),
        ((TICK, LATER, "s@2025-06-15T15:06:52Z"), False, {"paused"}),
    ],
)
def test_each_tick_fires_once_and_none_while_paused(effects: Sequence[str], each: bool, broken: set[str]) -> None:
    found = truth([], [entry(id, None, 1) for id in effects])
    ticks = Ticks("s", {TICK: 0.0, LATER: 6.0}, each=each)
    assert {violation.invariant for violation in ticks_fire_once(found, [ticks])} == broken


def claim(
    at: float, job: str, *, kept: str | None = None, replaced: str | None = None, while_: While = "queued"
) -> Claimed:
    return Claimed(at, job, ("t", "name"), while_, kept, replaced)


def began(at: float, job: str) -> Mark:
    return Mark(at, KEY, fence(1), job)


@pytest.mark.parametrize(
    ("events", "broken"),
    [
        ([claim(1, "a"), claim(2, "b")], True),
        ([claim(1, "a"), claim(2, "b", kept="a")], False),
        ([claim(1, "a"), claim(2, "b", replaced="a")], False),
        ([claim(1, "a"), claim(2, "b", kept="c")], True),
        ([claim(2, "b", kept="c")], True),
        ([claim(1, "a"), began(2, "a"), claim(3, "b")], False),
        ([claim(1, "a"), began(2, "a"), claim(3, "b", kept="a")], True),
        ([claim(1, "a", while_="unfinished"), began(2, "a"), claim(3, "b")], True),
        ([claim(1, "a", while_="unfinished"), began(2, "a"), claim(3, "b", kept="a")], False),
        ([claim(1, "a", while_="unfinished"), began(2, "a"), claim(3, "b", replaced="a")], True),
        ([claim(1, "j", while_="unfinished"), write(2, 1), claim(3, "b")], False),
        ([claim(1, "a"), Cancelled(2, "a"), claim(3, "b")], False),
        ([claim(1, "a"), claim(2, "b", replaced="a"), began(3, "a")], True),
        ([claim(1, "a"), claim(2, "b", replaced="a"), began(3, "b")], False),
    ],
)
def test_one_job_at_a_time_holds_a_unique_name(events: list[Event], broken: bool) -> None:
    assert bool(list(one_of_a_name(events))) == broken


BURIED = Write(1, "bury", KEY, "b", fence(1), again=False)


@pytest.mark.parametrize(
    ("events", "waits", "broken"),
    [
        ([Cancelled(1, "a"), Cancelled(1, "b")], False, False),
        ([Cancelled(1, "a")], False, True),
        ([], False, True),
        ([Cancelled(1, "a"), BURIED], False, False),
        ([Cancelled(1, "a"), BURIED], True, True),
        ([Cancelled(1, "a"), BURIED, Cancelled(2, "b")], True, False),
    ],
)
def test_the_job_that_closes_a_group_comes_last(events: list[Event], waits: bool, broken: bool) -> None:
    began = Step(3, "w1.1", KEY, "then", 1, fence(1), False)
    groups = {"then": Members(("a", "b"), waits=waits)}
    assert bool(list(then_comes_last([*events, began], groups, dead=()))) == broken


def test_the_job_that_closes_a_group_dies_with_the_last_member() -> None:
    groups = {"outer": Members(("m", "inner")), "inner": Members(("a",))}
    began = Step(3, "w1.1", KEY, "outer", 1, fence(1), False)
    assert not list(then_comes_last([Cancelled(1, "m"), Cancelled(2, "a"), began], groups, dead={"inner"}))
    assert list(then_comes_last([Cancelled(1, "m"), began], groups, dead={"inner"}))
    assert list(then_comes_last([Cancelled(1, "m"), Cancelled(2, "a"), began], groups, dead=()))


def test_a_group_that_is_left_open_is_found() -> None:
    (found,) = settled_at_once([LeftOpen(1.0, "then")])
    assert (found.invariant, found.at) == ("groups", 1.0)


def done(job: str, number: int, position: int = 1, at: float = 0.0) -> LoggedEntry:
    return LoggedEntry(position, "done", b'{"number":%d}' % number, job, None, 1, at)


def told(by: str, of: str, state: str) -> LoggedEntry:
    data = {"by": by, "of": of, "state": state}
    return LoggedEntry(1, "told", json.dumps(data).encode(), f"tells {of}", None, 1, 0.0)


# Of `a` and of `b`, if it died, somebody wants to be told, and the processor tells of odd numbers.
@pytest.mark.parametrize(
    ("log", "broken"),
    [
        ([done("a", 1), told("submitter", "a", "committed"), told("processor", "a", "committed")], False),
        ([done("a", 1), told("submitter", "a", "committed")], True),
        ([done("a", 1), told("processor", "a", "committed")], True),
        ([done("a", 2), told("submitter", "a", "committed")], False),
        ([done("a", 2), *[told("submitter", "a", "committed")] * 2], True),
        ([done("a", 2), told("submitter", "a", "committed"), told("processor", "a", "committed")], True),
        ([told("submitter", "a", "committed")], True),
        ([done("b", 2), told("submitter", "b", "committed")], True),
    ],
)
def test_each_end_that_somebody_wants_to_hear_of_is_told_once(log: list[LoggedEntry], broken: bool) -> None:
    expected = replace(expecting("a", "b"), notifying=True, notify={"a": ("committed",), "b": ("dead",)})
    assert bool(list(told_once([], truth([], log), expected))) == broken
    buried = [Write(1.0, "bury", KEY, "b", fence(1), again=False)]
    tells = told("submitter", "b", "dead")
    assert bool(list(told_once(buried, truth([], [*log, tells]), expected))) == broken
    assert list(told_once(buried, truth([], log), expected))


# After the numbers 3 and 4.
_BOTH = b'{"version":1,"position":2,"state":{"count":2,"sum":%d}}' % (4 * 31 + 5)
_FIRST = b'{"version":1,"position":1,"state":{"count":1,"sum":4}}'


@pytest.mark.parametrize(
    ("snapshot", "age", "trimmed", "rebuilt", "names"),
    [
        (1, 8.0, 1, _BOTH, set()),
        (0, 8.0, 1, _BOTH, {"projections"}),
        (1, 7.9, 1, _BOTH, {"log retention"}),
        (1, 8.0, 0, _BOTH, {"projections"}),
        (1, 8.0, 1, _FIRST, {"projections"}),
        (1, 8.0, 1, None, {"projections"}),
    ],
)
def test_of_a_log_nothing_goes_that_somebody_needs(
    snapshot: int, age: float, trimmed: int, rebuilt: bytes | None, names: set[str]
) -> None:
    resource, first = f"{LOOSE}/k", done("a", 3)
    key = KeyRecord(LOOSE, "k", 1, "n1", "a", 0, 0, 2, (), log_trimmed=trimmed)
    found = replace(NOTHING, keys=[key], logs={resource: [first, done("b", 4, position=2)]})
    states = {} if rebuilt is None else {(resource, name): rebuilt for name in ("often", "seldom")}
    trimmings = Trimmings({resource: [Dropped(first, (2, snapshot))]}, {}, states, epoch=100.0)
    first_went = [Trimmed(age - 100.0, resource, 1)]
    assert {found.invariant for found in nothing_missed(first_went, found, trimmings)} == names
