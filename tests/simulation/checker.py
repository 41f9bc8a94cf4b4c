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
from simulation.expectation import Expectation, Truth, Violation
from simulation.groups import settled_at_once, then_comes_last
from simulation.history import History
from simulation.kept_work import what_is_kept
from simulation.leases import began_within, grants_increase, no_lease_no_work, run_at_once
from simulation.steering import (
    backoff,
    cancelled_for_good,
    moved_for_good,
    not_before_due,
    one_of_a_name,
    paused_begins_nothing,
    ticks_fire_once,
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
        *then_comes_last(history.events, expected.groups, expected.dead),
        *settled_at_once(history.events),
    ]
    crashes = [said for said in history.said if said.event == "unexpected error"]
    return found + [Violation("loud", f"{said.node}: {said.fields}", said.at) for said in crashes]
