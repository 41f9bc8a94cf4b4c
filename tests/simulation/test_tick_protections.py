"""What has a job begin when it is due and not before, and a tick fire once: each part of it is needed."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable

import pytest

from jobkit.backends.sqlite import schedule, schedules
from jobkit.model.tick_policy import Missed
from jobkit.worker.maintenance import schedule_ticks, tick_firing
from simulation.protection import Mutation, Patch, assert_needed
from simulation.schedule import Schedule
from simulation.simulate import simulate

# More than it takes without both.
SEEDS_WITH_ONE_WALL = 20 if "CAMPAIGN" in os.environ else 2

# Leaders that stop at a tick, and go on when others have taken over; people who pause the schedule meanwhile.
TICKING = Schedule(
    troubles=(("pause a schedule", 3), ("late write", 2), ("crash at a step", 1), ("bad weather", 1)),
    every=2.0,
    jobs=10,
    ticking=1.0,
)


def due_three_seconds_early(patch: Patch) -> None:
    """The store releases what is not due yet."""
    patch.setattr(schedule, "_DUE", schedule._DUE.replace("j.due <= ?", "j.due - 3 <= ?"))


def revisions_not_compared(patch: Patch) -> None:
    """A schedule's next state is written whoever has changed it meanwhile, a person or another leader."""
    patch.setattr(schedules, "_UPDATE", schedules._UPDATE.replace("revision = ?", "? > 0"))


def ticks_without_ids(patch: Patch) -> None:
    """Each leader gives the job of a tick an id of its own."""
    numbers = itertools.count()
    tick_id = tick_firing.tick_id
    patch.setattr(tick_firing, "tick_id", lambda name, tick: f"{tick_id(name, tick)}.{next(numbers)}")


def revisions_and_tick_ids_missing(patch: Patch) -> None:
    """Neither wall stands between two leaders and a second job."""
    revisions_not_compared(patch)
    ticks_without_ids(patch)


def due_by_the_workers_clock(patch: Patch) -> None:
    """A leader decides by the wall clock of its own machine which ticks are due."""

    async def look(self: schedule_ticks.Ticker) -> int:
        now, _ = await self._inspection.due_schedules(limit=1)
        for kept in await self._inspection.schedules():
            found = schedule_ticks.schedule_of(kept)
            # Of the other schedule an hour's ticks would fire, which takes long and shows no more.
            by = self._clock.wall() if found.missed is Missed.LATEST else now
            await self._decide(kept, found, by)
        return 0

    patch.setattr(schedule_ticks.Ticker, "_look", look)


MUTATIONS = (
    Mutation("due three seconds early", due_three_seconds_early, ("later",), seed=1),
    Mutation("revisions not compared", revisions_not_compared, ("paused",), TICKING),
    Mutation("neither revisions nor tick ids", revisions_and_tick_ids_missing, ("ticks",), TICKING),
    Mutation("due by the worker's clock", due_by_the_workers_clock, ("later",), TICKING),
)


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_without_a_protection_some_schedule_breaks_an_invariant(mutation: Mutation, monkeypatch: Patch) -> None:
    assert_needed(mutation, monkeypatch)


@pytest.mark.parametrize("remove", [revisions_not_compared, ticks_without_ids], ids=lambda remove: remove.__name__)
def test_a_tick_fires_once_where_one_of_its_two_walls_is_left(remove: Callable[[Patch], None]) -> None:
    for seed in range(SEEDS_WITH_ONE_WALL):
        with pytest.MonkeyPatch.context() as patch:
            remove(patch)
            outcome = simulate(seed, TICKING)
        assert "ticks" not in outcome.broken, outcome.report()
