"""What goes wrong in a run, one after another and some at once, drawn from its seed."""

from __future__ import annotations

from dataclasses import replace

import anyio

from jobkit.model.pause import Scope
from jobkit.testing.virtual_time import running_loop
from jobkit.worker.worker import Worker
from simulation.network import CALM, PLANES, Weather
from simulation.people import People
from simulation.schedule import CHANGE_STEPS, LATE_WRITES, LOSS_STEPS, STEPS, TICK_STEPS, WHEN, Schedule
from simulation.work import LOOSE, ORDERED, SETTINGS
from simulation.world import Machine, World


class Storm:
    """Troubles, one after another and some at once."""

    def __init__(self, world: World, people: People, schedule: Schedule) -> None:
        self._world = world
        self._people = people
        self._schedule = schedule
        self._rng = world.rng
        self._left = 0.0

    async def run(self) -> None:
        """Make trouble for as long as the schedule says."""
        if not self._schedule.troubles:
            await anyio.sleep(self._schedule.storm)
            return
        kinds, weights = zip(*self._schedule.troubles, strict=True)
        # Each run leaves some kinds out and has more of others, so that rare mixtures come up, too.
        weights = tuple(weight * self._rng.choice((0, 1, 3)) for weight in weights)
        if not any(weights):
            weights = (1,) * len(weights)
        end = running_loop().time() + self._schedule.storm
        async with anyio.create_task_group() as troubles:
            while (left := end - running_loop().time()) > 0 and not self._world.spins:
                await anyio.sleep(min(left, self._rng.expovariate(1 / self._schedule.every)))
                self._left = end - running_loop().time()
                (kind,) = self._rng.choices(kinds, weights)
                troubles.start_soon(self._make, kind)

    async def _make(self, kind: str) -> None:
        world, rng = self._world, self._rng
        machine = rng.choice([*world.machines, *world.machines, world.client])
        node = machine.node
        if node is None or node.crashed:
            return
        pause = rng.choice((rng.uniform(0.1, 3.0), rng.uniform(3.0, 4 * SETTINGS.lease_ttl)))
        match kind:
            case "pause":
                node.pause(pause)
            case "pause at a step":
                node.trap(
                    rng.choice(STEPS + LOSS_STEPS + CHANGE_STEPS + TICK_STEPS),
                    rng.choice(WHEN),
                    skip=rng.choice((0, 0, 1, 5)),
                    pause=pause,
                )
            case "crash":
                node.crash()
            case "crash at a step":
                node.trap(
                    rng.choice(STEPS + LOSS_STEPS + CHANGE_STEPS + TICK_STEPS),
                    rng.choice(WHEN),
                    skip=rng.choice((0, 0, 1, 5)),
                )
            case "late write":
                # A request lies in a buffer while its sender stops, and comes when others have taken over.
                delay = rng.uniform(SETTINGS.lease_ttl, 4 * SETTINGS.lease_ttl)
                step = rng.choice(LATE_WRITES)
                node.trap(step, "during", skip=rng.choice((0, 1, 3)), pause=rng.choice((None, delay)), delay=delay)
            case "cut":
                await self._cut(machine, rng.choice(PLANES), rng.uniform(0.5, 20.0))
            case "bad weather":
                await self._weather(rng.choice(PLANES), self._draw_weather(), rng.uniform(1.0, 20.0))
            case "slow coordinator":
                weather = replace(CALM, slow=0.5, slowness=(0.5, 2 * SETTINGS.lease_ttl))
                await self._weather("coordinator", weather, rng.uniform(3.0, 20.0))
            case "prune":
                await world.prune()
            case "lose messages":
                await world.lose_messages()
            case "lose messages and leases":
                await world.lose_messages()
                await world.prune()
            case "wall clock":
                seconds = rng.choice((-1, 1)) * 10 ** rng.uniform(0, 5)
                world.note(node.name, f"wall clock jumps by {seconds:.1f} s")
                node.clock.jump_wall(seconds)
            case "restart":
                await self._restart(machine)
            case "change partitions":
                await self._people.change_partitions(rng.choice((ORDERED, LOOSE)), rng.choice((1, 2, 3, 4, 6)))
            case "pause a schedule" if world.timetable is not None:
                name = rng.choice([plan.name for plan in world.timetable.plans])
                await world.timetable.pause(name, min(rng.uniform(3.0, 30.0), self._left))
            case "pause work":
                await self._people.pause_work(self._draw_scope(), min(rng.uniform(3.0, 30.0), self._left))

    async def _cut(self, machine: Machine, plane: str, seconds: float) -> None:
        node = machine.node
        assert node is not None
        self._world.note(node.name, f"is cut off from the {plane} for {seconds:.1f} s")
        node.cut(plane)
        await anyio.sleep(min(seconds, self._left))
        node.mend(plane)

    async def _weather(self, plane: str, weather: Weather, seconds: float) -> None:
        self._world.note("", f"{plane} for {seconds:.1f} s: {weather}")
        self._world.network.weather[plane] = weather
        await anyio.sleep(min(seconds, self._left))
        self._world.network.weather[plane] = CALM

    def _draw_scope(self) -> Scope:
        type = self._rng.choice((ORDERED, LOOSE))
        partition, key = self._rng.randrange(SETTINGS.partitions), f"k{self._rng.randrange(self._schedule.keys)}"
        return self._rng.choice((Scope(type), Scope(type, partition=partition), Scope(type, key=key)))

    def _draw_weather(self) -> Weather:
        rng = self._rng
        worst = rng.choice((0.02, 0.1, 0.4))
        return Weather(
            latency=rng.choice((CALM.latency, (0.2, 0.6))),
            lost_request=rng.uniform(0, worst),
            lost_reply=rng.uniform(0, worst),
            duplicate=rng.uniform(0, worst),
            slow=rng.uniform(0, worst),
        )

    async def _restart(self, machine: Machine) -> None:
        """Drain the machine's worker, as a deployment does, and start another one later."""
        world, node = self._world, machine.node
        worker = world.workers.get(node.name) if node else None
        if node is None or worker is None or machine is world.client:
            return
        world.note(node.name, "is told to drain")
        # A signal reaches the process when it runs.
        node.process.spawn(drain(worker))
        await anyio.sleep(min(self._rng.uniform(0, 30), self._left))
        node.crash()


async def drain(worker: Worker) -> None:
    """Tell a worker to drain, as a process does that is sent a signal."""
    worker.drain()
