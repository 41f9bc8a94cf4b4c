"""High before normal, on whole workers behind a backlog."""

from __future__ import annotations

import pytest

from jobkit.model.concurrency import Concurrency as Slots
from jobkit.model.partition import partition_of
from jobkit.model.priority import Priority
from jobkit.runner.next_in_line import Turns
from simulation.expectation import Violation
from simulation.protection import Patch
from simulation.schedule import Schedule
from simulation.simulate import simulate
from simulation.steering import high_first
from simulation.work import LOOSE, SETTINGS, Order, Work

PARTITIONS = 3
# One job at a time and many at hand, so that who is next is chosen among many.
ONE_BY_ONE = SETTINGS.model_copy(update={"concurrency": Slots(1), "partitions": PARTITIONS, "prefetch": 20})
# From its submission on, a job takes less until a worker has it, where nothing goes wrong.
AT_HAND_SECONDS = 1.0
BACKLOG = [
    Order(
        0.1, LOOSE, f"{priority.value}-{number}", Work(key=f"k{number}", number=number, steps=(1.0,)), priority=priority
    )
    for number in range(45)
    for priority in [(Priority.NORMAL, Priority.LOW)[number % 3 == 0]]
]
# One at a time, so that no normal one has a turn of its own among them.
URGENT = [
    Order(after, LOOSE, f"high-{number}", Work(key=f"u{number}", number=number), priority=Priority.HIGH)
    for number, after in enumerate((4.0, 6.0, 8.0))
]


def found(seed: int) -> list[Violation]:
    """Run them; return which of the urgent ones was passed over while a worker had it at hand."""
    schedule = Schedule(storm=10.0, troubles=(), ticking=0.0, cancels=0.0, reprioritized=0.0)
    changes = {"settings": ONE_BY_ONE, "prioritized": True, "limited": False}
    orders = [*BACKLOG, *URGENT]
    outcome = simulate(seed, schedule, orders=orders, **changes)
    assert not outcome.broken, outcome.report()
    start = outcome.history.events[0].at
    ready = {order.id: start + order.after + AT_HAND_SECONDS for order in URGENT}
    queue = {order.id: partition_of(order.work.key, PARTITIONS) for order in orders}
    return list(high_first(outcome.history.events, ready, queue))


def first_come_first_served(patch: Patch) -> None:
    """A worker that has jobs at hand takes them as they came."""
    adding, removing = Turns.add, Turns.remove
    patch.setattr(Turns, "add", lambda self, one, _: adding(self, one, Priority.NORMAL))
    patch.setattr(Turns, "remove", lambda self, one, _: removing(self, one, Priority.NORMAL))


def test_what_is_urgent_is_next(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not found(1)
    first_come_first_served(monkeypatch)
    assert found(1)
