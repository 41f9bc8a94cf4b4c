"""Random schedules: what is submitted, what goes wrong and when, and how it all ends.

A run storms for a while, then heals: the network is calm, every machine runs. From there on it has a stated time to
get everything done. All of it is drawn from the seed.
"""

from __future__ import annotations

import contextlib
import itertools
import random
from collections.abc import Collection
from dataclasses import dataclass
from unittest import mock

import anyio

from jobkit.plugin import new_job, notification
from jobkit.testing.virtual_time import run_virtual, running_loop, spawn_outside
from jobkit.worker.maintenance import log_retention
from simulation.checker import so_far, violations
from simulation.expectation import Truth, Violation
from simulation.fairness import look_for_unfairness
from simulation.history import History, tell
from simulation.notices import with_notices
from simulation.orders import orders
from simulation.people import People
from simulation.promised import expectation_of, follow_ups
from simulation.schedule import DEFAULT, Schedule
from simulation.storm import Storm, drain
from simulation.strays import look_for_open_groups, look_for_strays
from simulation.trimming import TRIM_EVERY, lose_and_rebuild, nothing_missed, trimmings_of, untrimmed
from simulation.work import SETTINGS
from simulation.world import World, open_world

# After the heal, everything is done within the time that all the work takes one after another, and this many seconds:
# the longest waits of the settings, and leases that somebody dead still holds, several times over. Nor does it stand
# still for so long.
PROGRESS_MARGIN = 90.0
# And told to drain, a worker ends within this time.
DRAIN_BOUND = SETTINGS.drain_seconds + 10.0
# So often it is looked whether what is looked for has happened.
_LOOK_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a run. `replay` is the command that runs it again, where one option says it all."""

    seed: int
    violations: tuple[Violation, ...]
    history: History
    seconds: float
    replay: str

    @property
    def broken(self) -> set[str]:
        """The invariants that were broken, by name."""
        return {violation.invariant for violation in self.violations}

    def report(self) -> str:
        """Return what a person needs to look into a failing seed."""
        lines = [f"seed {self.seed} broke {', '.join(sorted(self.broken))}:"]
        lines += [f"  [{found.invariant}] {found.detail} (at {found.at})" for found in self.violations[:12]]
        moments = [found.at for found in self.violations if found.at is not None]
        until = min(moments, default=float("inf"))
        before = [event for event in self.history.events if event.at <= until]
        said = [line for line in self.history.said if line.at <= until and line.level in {"warning", "error"}]
        lines += ["what happened before:", tell(before, 40), "what was said before:", tell(said, 20)]
        lines += [f"replay: {self.replay}"] * bool(self.replay)
        return "\n".join(lines)


def simulate(
    seed: int, schedule: Schedule = DEFAULT, *, looking_for: Collection[str] = (), **changes: object
) -> Outcome:
    """Run one seed to its end in virtual time, or until one of the invariants that are looked for is broken.

    `changes` are set on the world before it starts.
    """
    made = (f"made-{number}" for number in itertools.count(1))
    with contextlib.ExitStack() as patched:
        patched.enter_context(mock.patch.object(log_retention, "_EVERY_SECONDS", TRIM_EVERY))
        for module in (new_job, notification):
            # Ids that nobody chooses are random, and of the real time.
            patched.enter_context(mock.patch.object(module, "new_job_id", side_effect=made))
        return run_virtual(_simulate(seed, schedule, frozenset(looking_for), changes), seed=seed)


async def _simulate(seed: int, schedule: Schedule, looking_for: frozenset[str], changes: dict[str, object]) -> Outcome:
    async with open_world(seed) as world:
        for name, value in changes.items():
            setattr(world, name, value)
        world.notifying = _drawn("notifying", seed, schedule.notifying)
        world.trimming = _drawn("trimming", seed, schedule.trimming)
        if not world.orders:
            world.orders = orders(seed, schedule)
            world.orders = with_notices(world.orders, seed) if world.notifying else world.orders
        world.limited = world.limited and not schedule.plain
        world.prioritized = world.prioritized and not schedule.plain
        world.tenanted = not schedule.plain and random.Random(f"tenants {seed}").random() < schedule.tenanted
        if world.trimming:
            await world.dropped.watch()
        for machine in [*world.machines, world.client]:
            world.start(machine)
        if random.Random(f"timetable {seed}").random() < schedule.ticking:
            await world.open_timetable()
        people = People(world)
        others = [
            spawn_outside(people.look_after_gaps(), name="operator"),
            spawn_outside(people.look_after_members(), name="mender"),
            spawn_outside(look_for_strays(world), name="strays"),
            spawn_outside(look_for_open_groups(world), name="open groups"),
            spawn_outside(look_for_unfairness(world), name="tenants"),
            spawn_outside(people.cancel_some(schedule.cancels), name="canceller"),
            spawn_outside(people.reprioritize_some(schedule.reprioritized), name="prioritizer"),
        ]
        if schedule.retention is not None:
            others.append(spawn_outside(people.forget_ended(schedule.retention), name="retention"))
        if world.trimming:
            others.append(spawn_outside(lose_and_rebuild(world), name="rebuilder"))
        found: list[Violation] = []
        async with anyio.create_task_group() as run:
            if looking_for:
                run.start_soon(_look_for, looking_for, world, schedule, run.cancel_scope)
            await Storm(world, people, schedule).run()
            found = await _heal(world)
            run.cancel_scope.cancel()
        for other in others:
            other.cancel()
        world.history.close()
        expected = await expectation_of(world, schedule)
        dropped = await world.dropped.entries() if world.trimming else {}
        truth = await Truth.of(world.backend, [*expected.accepted, *follow_ups(world.orders)], dropped)
        found += violations(world.history, truth, expected)
        if world.trimmings is not None:
            found += nothing_missed(world.history.events, truth, world.trimmings)
        found += [Violation("loud", f"a process ended in an error: {died}") for died in world.died]
        default = schedule == DEFAULT and not changes
        replay = f"pytest tests/simulation/test_simulation.py -k random_schedules --seed {seed}" if default else ""
        return Outcome(seed, tuple(found), world.history, running_loop().time() - world.started, replay)


def _drawn(what: str, seed: int, share: float) -> bool:
    return random.Random(f"{what} {seed}").random() < share


async def _look_for(invariants: frozenset[str], world: World, schedule: Schedule, run: anyio.CancelScope) -> None:
    """End the run once one of these is broken."""
    while True:
        await anyio.sleep(_LOOK_SECONDS)
        if {found.invariant for found in so_far(world.history, await expectation_of(world, schedule))} & invariants:
            run.cancel()


async def _heal(world: World) -> list[Violation]:
    """End all trouble, wait until everything is done, and drain; return what did not come to its end in time."""
    world.note("", "heals")
    world.healed = True
    world.network.calm()
    for machine in [*world.machines, world.client]:
        if machine.node is not None:
            machine.node.mishaps.clear()
            machine.node.process.thaw()
        if not machine.up:
            world.start(machine)
    bound = PROGRESS_MARGIN + sum(order.work.longest for order in world.orders)
    healed = running_loop().time()
    moved, before = healed, ""
    while left := await _undone(world, healed):
        if world.spins:
            return [Violation("bounded", f"{len(world.history.events)} events: somebody spins")]
        now = running_loop().time()
        moved, before = (moved, before) if left == before else (now, left)
        if now >= min(healed + bound, moved + PROGRESS_MARGIN):
            return [Violation("progress", f"{now - healed:.0f} s after the heal there is still {left}")]
        await anyio.sleep(1.0)
    world.note("", "is done")
    for machine in world.machines:
        assert machine.node is not None
        machine.node.process.spawn(drain(world.workers[machine.node.name]))
    deadline = running_loop().time() + DRAIN_BOUND
    while running := [machine.name for machine in world.machines if machine.up]:
        if running_loop().time() >= deadline:
            return [Violation("progress", f"{', '.join(running)} did not drain within {DRAIN_BOUND:g} s")]
        await anyio.sleep(0.5)
    if world.trimming:
        world.trimmings = await trimmings_of(world)
    return []


async def _undone(world: World, healed: float) -> str:
    """Return what is left to do, in words, or an empty string. What has ticked until it `healed` ticks no more."""
    behind = await world.timetable.finish(world.wall_time(healed)) if world.timetable is not None else []
    left = [f"schedule {name} is behind" for name in behind]
    left += [f"to be submitted: {order.id}" for order in world.orders if order.id not in world.confirmed]
    if world.trimming:
        left += untrimmed(await world.backend.inspection.keys(limit=100_000))
    counts = await world.backend.inspection.counts()
    left += [f"{number} jobs {state}" for state, number in counts.jobs.items() if number and not state.ended]
    left += [f"outbox: {counts.outbox}"] * bool(counts.outbox) + [f"in flight: {counts.shelved}"] * bool(counts.shelved)
    layouts = await world.backend.store.layouts()
    left += [f"{type}: {layout}" for type, layout in layouts.items() if not layout.settled]
    made = {type: layout.made for type, layout in layouts.items()}
    for depth in await world.backend.broker.depths():
        if depth.ready or depth.partition.index >= made.get(depth.partition.type, 0):
            left.append(f"messages or a queue: {depth}")
    return ", ".join(left)
