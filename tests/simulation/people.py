"""The people of a simulation, who cancel, pause, skip and change what they like, at any time."""

from __future__ import annotations

import random

import anyio

from jobkit.client.layouts import Layouts
from jobkit.model.pause import Scope
from jobkit.model.priority import Priority
from jobkit.ops.topology import repartition
from jobkit.ports.inspection import JobState
from jobkit.testing.virtual_time import VirtualClock, running_loop
from simulation.events import Cancelled, Paused, Repartitioned, Reprioritized, Resumed
from simulation.groups import groups_of, waiting_members
from simulation.work import LOOSE, Work, member_id
from simulation.world import World


class People:
    """What people do about the jobs of a world, whatever goes wrong meanwhile."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def look_after_gaps(self) -> None:
        """Do what a person does about ordered keys that stand still behind a dead letter: try it again, or skip it."""
        inspection = self._world.backend.inspection
        rng = random.Random(f"operator {self._world.seed}")
        while True:
            await anyio.sleep(rng.uniform(0.5, 5.0))
            for gap in await inspection.gaps():
                dead = [letter for letter in await inspection.dead(type=gap.type) if letter.key == gap.key]
                letter = next((letter for letter in dead if letter.sequence == gap.expected), None)
                if letter is None:
                    continue
                if rng.random() < 0.3:
                    self._world.note("operator", f"requeues {letter.id}")
                    await inspection.requeue_dead(letter.number)
                else:
                    self._world.note("operator", f"skips {letter.id}")
                    await inspection.skip_gap(gap.type, gap.key, before=gap.expected + 1)

    async def look_after_members(self) -> None:
        """Do what a person does about dead members of groups that wait for them: mend what is wrong, and requeue."""
        inspection = self._world.backend.inspection
        rng = random.Random(f"mender {self._world.seed}")
        waited_for = {id for order in self._world.orders for id in waiting_members(order.id, order.work)}
        while waited_for:
            await anyio.sleep(rng.uniform(0.5, 5.0))
            for letter in [letter for letter in await inspection.dead() if letter.id in waited_for]:
                self._world.note("operator", f"mends {letter.id}")
                self._world.mended.add(letter.id)
                await inspection.requeue_dead(letter.number)

    async def cancel_some(self, share: float) -> None:
        """Do what a person does who wants some of the jobs no more, whatever has become of them by then."""
        rng = random.Random(f"canceller {self._world.seed}")
        async with anyio.create_task_group() as cancelling:
            for order in self._world.orders:
                if rng.random() < share:
                    after = order.after + rng.choice((rng.uniform(0, 1), rng.uniform(0, 20)))
                    # Of a group one member, for then the others go on; or what closes it.
                    ids = [id for then, maker, work in groups_of(order.id, order.work) for id in _of(then, maker, work)]
                    cancelling.start_soon(self._cancel, rng.choice(ids) if ids else order.id, after)

    async def _cancel(self, id: str, after: float) -> None:
        await anyio.sleep(max(0.0, self._world.started + after - running_loop().time()))
        (answer,) = await self._world.backend.inspection.cancel([id], by="operator", reason="not wanted")
        if answer.state is JobState.CANCELLED:
            self._world.history.add(Cancelled(running_loop().time(), id))
            job = await self._world.backend.inspection.job(id)
            self._world.cancelled[id] = job.sequence if job else None

    async def reprioritize_some(self, share: float) -> None:
        """Do what a person does who wants some of the jobs sooner or later, whatever has become of them by then."""
        rng = random.Random(f"prioritizer {self._world.seed}")
        async with anyio.create_task_group() as changing:
            for order in self._world.orders:
                if self._world.prioritized and order.type == LOOSE and rng.random() < share:
                    after = order.after + rng.choice((rng.uniform(0, 1), rng.uniform(0, 20)))
                    changing.start_soon(self._reprioritize, order.id, after, rng.choice(list(Priority)))

    async def _reprioritize(self, id: str, after: float, priority: Priority) -> None:
        await anyio.sleep(max(0.0, self._world.started + after - running_loop().time()))
        (answer,) = await self._world.backend.inspection.reprioritize([id], priority)
        if answer.changed:
            self._world.history.add(Reprioritized(running_loop().time(), id, priority))

    async def pause_work(self, scope: Scope, seconds: float) -> None:
        """Do what a person does who has some of the work rest for a while."""
        inspection = self._world.backend.inspection
        await inspection.pause(scope, by="operator", reason="for a while")
        self._world.history.add(Paused(running_loop().time(), scope))
        await anyio.sleep(seconds)
        self._world.history.add(Resumed(running_loop().time(), scope))
        await inspection.resume(scope)

    async def change_partitions(self, type: str, partitions: int) -> None:
        """Do what a person does who wants another number of partitions."""
        layouts = Layouts(self._world.backend.store, self._world.settings.partitions, VirtualClock())
        await repartition(layouts, [type], partitions)
        self._world.history.add(Repartitioned(running_loop().time(), type, partitions))

    async def forget_ended(self, older_than: float) -> None:
        """Run retention all the time, as a worker would now and then."""
        while True:
            await anyio.sleep(1.0)
            await self._world.backend.inspection.prune(older_than=older_than, keep_at_most=1_000_000)


def _of(then: str, maker: str, work: Work) -> list[str]:
    return [then, *(member_id(maker, number) for number in range(len(work.group)))]
