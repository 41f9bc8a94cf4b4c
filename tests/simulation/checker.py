"""The invariants of the design, checked on what was committed and on how it came about."""

from __future__ import annotations

from simulation.effects import (
    bounded,
    ended_everywhere,
    fencing,
    order,
    order_of_submission,
    repartitioned,
    single_effect,
)
from simulation.expectation import NOTHING, Expectation, Truth, Violation
from simulation.groups import settled_at_once, then_comes_last
from simulation.history import History
from simulation.kept_work import what_is_kept
from simulation.leases import began_within, grants_increase, no_lease_no_work, run_at_once
from simulation.notices import never_began, told_once
from simulation.steering import (
    backoff,
    cancelled_for_good,
    moved_for_good,
    not_before_due,
    one_of_a_name,
    paused_begins_nothing,
    tenants_take_turns,
    ticks_fire_once,
)
from simulation.trimming import never_unrebuilt


def violations(history: History, truth: Truth, expected: Expectation) -> list[Violation]:
    """Return all that is wrong once all is over."""
    return [
        *single_effect(truth, expected),
        *order(truth, expected),
        *order_of_submission(truth, expected.submitted),
        *bounded(truth, expected),
        *repartitioned(history.events, truth, expected),
        *ticks_fire_once(truth, expected.ticks),
        *told_once(history.events, truth, expected),
        *never_began(history.events, truth, expected),
        *so_far(history, expected, truth),
    ]


def so_far(history: History, expected: Expectation, truth: Truth = NOTHING) -> list[Violation]:
    """Return what is wrong with what has happened, at any time; with the `truth`, with what came of it, too."""
    events = history.events
    crashes = [said for said in history.said if said.event == "unexpected error"]
    return [
        *fencing(events, truth),
        *no_lease_no_work(events),
        *grants_increase(events),
        *ended_everywhere(events),
        *tenants_take_turns(events),
        *backoff(events),
        *not_before_due(events, expected),
        *paused_begins_nothing(history, expected),
        *cancelled_for_good(events, truth, expected),
        *moved_for_good(events),
        *one_of_a_name(events),
        *run_at_once(events, expected.at_once),
        *began_within(events, expected.begins),
        *(Violation("kept", detail, at) for detail, at in what_is_kept(events)),
        *then_comes_last(events, expected.groups, expected.dead),
        *settled_at_once(events),
        *never_unrebuilt(events),
        *(Violation("loud", f"{said.node}: {said.fields}", said.at) for said in crashes),
    ]
