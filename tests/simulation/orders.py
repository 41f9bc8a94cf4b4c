"""What is submitted in a run, drawn from its seed."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from jobkit.model.job_group import OnFailure
from jobkit.model.unique import Unique, While
from simulation.schedule import Schedule
from simulation.work import LOOSE, MAX_ATTEMPTS, ORDERED, Order, Work

_ON_FAILURE: tuple[OnFailure, ...] = ("wait", "run", "die")


def orders(seed: int, schedule: Schedule) -> list[Order]:
    """Draw what is submitted during the storm."""
    rng = random.Random(f"orders {seed}")
    if schedule.plain:
        return sorted((_plain(rng, schedule, number) for number in range(schedule.jobs)), key=lambda order: order.after)
    drawn = _keeping(_mixed(rng, schedule), random.Random(f"keeping {seed}"), schedule.keeping)
    drawn = _with_names(drawn, random.Random(f"names {seed}"), schedule.unique)
    return _with_groups(drawn, random.Random(f"groups {seed}"), schedule.groups)


def _mixed(rng: random.Random, schedule: Schedule) -> list[Order]:
    drawn = []
    for number in range(schedule.jobs):
        type = rng.choice((ORDERED, ORDERED, LOOSE))
        steps = tuple(rng.choice((0.0, 0.1, 0.5, 2.0)) for _ in range(rng.randint(1, 3)))
        if rng.random() < schedule.long_jobs:
            # Longer than a lease and than the delivery hold.
            steps = (*steps, rng.uniform(3, 12), 0.1)
        work = Work(key=f"k{rng.randrange(schedule.keys)}", number=number, steps=steps)
        if rng.random() < 0.15:
            work = work.model_copy(update={"fails": rng.randint(1, MAX_ATTEMPTS - 1)})
        elif rng.random() < (0.15 if type == LOOSE else 0.05):
            work = work.model_copy(update={"rejected": True})
        elif rng.random() < 0.15:
            work = work.model_copy(update={"follow": 2})
        foreign = type == LOOSE and rng.random() < 0.2
        later = rng.uniform(0.5, 20.0) if rng.random() < schedule.later else 0.0
        drawn.append(Order(rng.uniform(0, schedule.storm), type, f"job-{number}", work, foreign, later))
    return sorted(drawn, key=lambda order: order.after)


def _plain(rng: random.Random, schedule: Schedule, number: int) -> Order:
    work = Work(key=f"k{rng.randrange(schedule.keys)}", number=number, steps=(rng.choice((0.0, 0.1)),))
    return Order(rng.uniform(0, schedule.storm), rng.choice((ORDERED, LOOSE)), f"job-{number}", work)


def _keeping(drawn: Sequence[Order], rng: random.Random, share: float) -> list[Order]:
    """Return orders of which this share keeps what it has done."""
    return [
        replace(order, work=order.work.model_copy(update={"keeps": True})) if rng.random() < share else order
        for order in drawn
    ]


def _with_names(drawn: Sequence[Order], rng: random.Random, share: float) -> list[Order]:
    """Return orders of which this share has unique names; only such as are sure to be accepted, and none that die."""
    return [
        replace(order, unique=_draw_name(rng))
        if rng.random() < share and not (order.foreign or order.work.rejected)
        else order
        for order in drawn
    ]


def _with_groups(drawn: Sequence[Order], rng: random.Random, share: float) -> list[Order]:
    """Return orders of which this share makes groups; only such as make nothing else, and none that die."""
    return [
        replace(order, work=order.work.model_copy(update=_draw_group(rng)))
        if rng.random() < share and not (order.work.rejected or order.work.follow or order.unique)
        else order
        for order in drawn
    ]


def _draw_group(rng: random.Random) -> dict[str, object]:
    members = [Work(key=f"m{rng.randrange(4)}", number=number) for number in range(rng.randint(1, 4))]
    if rng.random() < 0.4:
        members[-1] = members[-1].model_copy(update={"rejected": True})
    if rng.random() < 0.4:
        inner = [Work(key="inner", number=number, rejected=rng.random() < 0.3) for number in range(rng.randint(1, 2))]
        members[0] = members[0].model_copy(update={"group": tuple(inner), "on_failure": rng.choice(_ON_FAILURE)})
    return {"group": tuple(members), "on_failure": rng.choice(_ON_FAILURE)}


def _draw_name(rng: random.Random) -> Unique:
    while_: While = rng.choice(("queued", "queued", "unfinished"))
    return Unique(f"u{rng.randrange(2)}", while_, replace=rng.random() < 0.6)
