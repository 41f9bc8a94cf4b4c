"""Looks at each time of a run for what should be nowhere any more."""

from __future__ import annotations

import random

import anyio

from jobkit.model.partition import Partition
from jobkit.ports.inspection import JobState
from jobkit.testing.virtual_time import running_loop
from simulation.events import LeftOpen, Stray
from simulation.groups import groups_of
from simulation.work import LOOSE, ORDERED
from simulation.world import World


async def look_for_strays(world: World) -> None:
    """Look, as nothing in the store does, whether a job that has ended is still on its way to a worker."""
    rng = random.Random(f"strays {world.seed}")
    seen: set[tuple[str, str]] = set()
    while True:
        await anyio.sleep(rng.uniform(0.1, 1.0))
        for id, place in await _on_their_way(world):
            job = await world.backend.inspection.job(id)
            if (job is None or job.state.ended) and (id, place) not in seen:
                seen.add((id, place))
                world.history.add(Stray(running_loop().time(), id, place))


async def _on_their_way(world: World) -> list[tuple[str, str]]:
    store = world.backend.store
    entries = [(entry.envelope.id, "the outbox") for entry in await store.outbox(older_than=-1, limit=10_000)]
    layouts = await store.layouts()
    for type in (ORDERED, LOOSE):
        for index in range(layouts[type].made if type in layouts else 0):
            shelved = await store.shelved(Partition(type, index), limit=10_000)
            entries += [(one.envelope.id, "flight") for one in shelved]
    return entries


async def look_for_open_groups(world: World) -> None:
    """Look whether a job that closes a group still waits for it, where none of the members has yet to end."""
    rng = random.Random(f"groups {world.seed}")
    closing = {then: made for order in world.orders for then, _, made in groups_of(order.id, order.work)}
    while closing:
        await anyio.sleep(rng.uniform(0.1, 1.0))
        for then, made in list(closing.items()):
            states = {member.state for member in await world.backend.store.members(then)}
            waits = made.on_failure == "wait" and JobState.DEAD in states
            if not states or waits or not all(state.ended for state in states):
                continue
            del closing[then]
            job = await world.backend.inspection.job(then)
            if job is not None and job.state is JobState.SCHEDULED:
                world.history.add(LeftOpen(running_loop().time(), then))
