"""Random schedules: what is submitted, what goes wrong and when, and how it all ends.

A run storms for a while, then heals: the network is calm, every machine runs. From there on it has a stated time to
get everything done. All of it is drawn from the seed.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import anyio

from jobkit.model.pause import Scope
from jobkit.model.unique import Unique, While
from jobkit.testing.virtual_time import run_virtual, running_loop, spawn_outside
from jobkit.worker.worker import Worker
from simulation.checker import Expectation, Truth, Violation, violations
from simulation.history import Claimed, History, tell
from simulation.network import CALM, PLANES, Weather, When
from simulation.timetable import Ticks
from simulation.world import (
    BEGINS,
    LOOSE,
    MAX_ATTEMPTS,
    ORDERED,
    PAIR,
    SETTINGS,
    Machine,
    Order,
    Work,
    World,
    member_id,
    open_world,
    then_id,
)

# After the heal, everything is done within the time that all the work takes one after another, and this many seconds:
# the longest waits of the settings, and leases that somebody dead still holds, several times over.
PROGRESS_MARGIN = 90.0
# And told to drain, a worker ends within this time.
DRAIN_BOUND = SETTINGS.drain_seconds + 10.0

# The steps of the way of a job, at each of which a process can stop.
STEPS = (
    "broker.declare",
    "coordinator.heartbeat",
    "broker.consume",
    "consumer.receive",
    "coordinator.claim",
    "coordinator.renew",
    "store.open",
    "processor.step",
    "store.progress",
    "store.save_checkpoint",
    "store.checkpoints",
    "store.fail",
    "store.bury",
    "store.shelve",
    "store.commit",
    "coordinator.release",
    "consumer.ack",
    "consumer.delay",
    "broker.publish",
    "store.published",
)
# And those of what is done about lost messages.
LOSS_STEPS = ("store.adrift", "consumer.barrier", "inspection.republish")
# And those of another number of partitions.
CHANGE_STEPS = ("store.layouts", "store.set_layout", "store.shelved", "broker.remove")
# And those of firing what is due.
TICK_STEPS = ("inspection.due_schedules", "inspection.save_schedule")
# What may take effect long after it was sent.
LATE_WRITES = (
    "store.open",
    "store.commit",
    "store.commit",
    "store.fail",
    "store.save_checkpoint",
    "coordinator.release",
    "inspection.save_schedule",
)
WHEN: tuple[When, ...] = ("before", "during", "after")


@dataclass(frozen=True, slots=True)
class Schedule:
    """How a run is drawn: for how many seconds it storms, and how much of each trouble there is, relatively.

    Trouble comes about `every` so many seconds. `long_jobs` is the share of jobs that last longer than a lease.
    Ids are forgotten `retention` seconds after their jobs ended, if at all. Of the share `cancels` of the jobs a person
    says some time that they are to be cancelled; the share `later` is to run some seconds after it is accepted, and the
    share `unique` has one of a few unique names, and the share `groups` makes a group as it commits. The share
    `reprioritized` of those that have priorities is given another, at some time. Of what
    is paused nothing begins after `heard_within` so many seconds; without these, once a worker has said that it knows.
    `plain`: all jobs come through clients, are due at once, and do not fail; so those of a key, numbered or not, run in
    the order in which they are submitted.
    In the share `tenanted` of the seeds tenants take turns. The share `ticking` of them has schedules; the share
    `keeping` of the jobs keeps what it has done.
    """

    storm: float = 60.0
    every: float = 3.0
    troubles: tuple[tuple[str, float], ...] = (
        ("pause", 3),
        ("pause at a step", 3),
        ("late write", 3),
        ("crash", 1),
        ("crash at a step", 3),
        ("cut", 2),
        ("bad weather", 3),
        ("slow coordinator", 2),
        ("prune", 1),
        ("lose messages", 1),
        ("lose messages and leases", 0.5),
        ("wall clock", 1),
        ("restart", 1),
        ("pause work", 1),
        ("change partitions", 1),
        ("pause a schedule", 1),
    )
    keys: int = 3
    jobs: int = 30
    long_jobs: float = 0.2
    retention: float | None = None
    cancels: float = 0.15
    later: float = 0.15
    reprioritized: float = 0.3
    unique: float = 0.2
    groups: float = 0.1
    heard_within: float | None = None
    plain: bool = False
    ticking: float = 0.5
    keeping: float = 0.3
    tenanted: float = 0.3


DEFAULT = Schedule()


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


def simulate(seed: int, schedule: Schedule = DEFAULT, **changes: object) -> Outcome:
    """Run one seed to its end in virtual time. `changes` are set on the world before it starts."""
    return run_virtual(_simulate(seed, schedule, changes), seed=seed)


async def _simulate(seed: int, schedule: Schedule, changes: dict[str, object]) -> Outcome:
    async with open_world(seed) as world:
        for name, value in changes.items():
            setattr(world, name, value)
        if not world.orders:
            drawn = orders(random.Random(f"orders {seed}"), schedule)
            drawn = keeping(drawn, random.Random(f"keeping {seed}"), 0.0 if schedule.plain else schedule.keeping)
            drawn = with_names(drawn, random.Random(f"names {seed}"), 0.0 if schedule.plain else schedule.unique)
            share = 0.0 if schedule.plain else schedule.groups
            world.orders = with_groups(drawn, random.Random(f"groups {seed}"), share)
        world.limited = world.limited and not schedule.plain
        world.prioritized = world.prioritized and not schedule.plain
        world.tenanted = not schedule.plain and random.Random(f"tenants {seed}").random() < schedule.tenanted
        for machine in [*world.machines, world.client]:
            world.start(machine)
        if random.Random(f"timetable {seed}").random() < schedule.ticking:
            await world.open_timetable()
        others = [
            spawn_outside(world.look_after_gaps(), name="operator"),
            spawn_outside(world.look_for_strays(), name="strays"),
            spawn_outside(world.look_for_unfairness(), name="tenants"),
            spawn_outside(world.cancel_some(schedule.cancels), name="canceller"),
            spawn_outside(world.reprioritize_some(schedule.reprioritized), name="prioritizer"),
        ]
        if schedule.retention is not None:
            others.append(spawn_outside(world.forget_ended(schedule.retention), name="retention"))
        await Storm(world, schedule).run()
        found = await _heal(world)
        for other in others:
            other.cancel()
        world.history.close()
        accepted = await _accepted(world)
        follow_ups = [
            f"{order.id}.{number}"
            for order in accepted
            if order.id not in world.cancelled
            for number in range(order.work.follow)
        ]
        groups = {
            then_id(order.id): [member_id(order.id, number) for number in range(order.work.members)]
            for order in accepted
            if order.id not in world.cancelled and order.work.members
        }
        dead = {order.id for order in world.orders if order.work.rejected}
        for order in accepted:
            rejected = [member_id(order.id, number) for number in range(order.work.dying)]
            members = groups.get(then_id(order.id), [])
            dead |= set(rejected) - set(world.cancelled)
            if order.work.on_failure == "die" and (dead | set(world.cancelled)).intersection(members):
                dead.add(then_id(order.id))
        ticks = world.timetable.ticks() if world.timetable is not None else []
        due = {order.id: world.started + order.after + order.later for order in world.orders if not order.foreign}
        for one in ticks:
            due |= {id: world.loop_time(at) for id, at in one.at.items()}
        expected = Expectation(
            accepted=[*(order.id for order in accepted), *follow_ups, *_of_groups(groups), *await _fired(world, ticks)],
            dead=frozenset(dead),
            groups=groups,
            ordered_types=frozenset({ORDERED}),
            max_failures=MAX_ATTEMPTS,
            forgetting=schedule.retention is not None,
            cancelled=world.cancelled,
            heard_within=schedule.heard_within,
            submitted=[order.id for order in world.orders] if schedule.plain else (),
            partitions=world.settings.partitions,
            keys={order.id: (order.type, order.work.key) for order in world.orders}
            | {id: (LOOSE, "") for members in groups.values() for id in members},
            due=due,
            ticks=ticks,
            at_once={LOOSE: PAIR.count} if world.limited else {},
            begins={LOOSE: (BEGINS.count, BEGINS.per.total_seconds())} if world.limited else {},
        )
        all_follow_ups = [f"{order.id}.{number}" for order in world.orders for number in range(order.work.follow)]
        truth = await Truth.of(world.backend, [*expected.accepted, *all_follow_ups])
        found += violations(world.history, truth, expected)
        found += [Violation("loud", f"a process ended in an error: {died}") for died in world.died]
        default = schedule == DEFAULT and not changes
        replay = f"pytest tests/simulation/test_simulation.py -k random_schedules --seed {seed}" if default else ""
        return Outcome(seed, tuple(found), world.history, running_loop().time() - world.started, replay)


def _of_groups(groups: Mapping[str, Sequence[str]]) -> list[str]:
    return [id for then, members in groups.items() for id in (*members, then)]


async def _fired(world: World, ticks: Sequence[Ticks]) -> list[str]:
    """Return the ids of the jobs that have come of ticks, of all that were to fire."""
    ids = [id for one in ticks for id in one.at]
    return [id for id in ids if await world.backend.inspection.job(id) is not None]


def orders(rng: random.Random, schedule: Schedule) -> list[Order]:
    """Draw what is submitted during the storm."""
    if schedule.plain:
        return sorted((_plain(rng, schedule, number) for number in range(schedule.jobs)), key=lambda order: order.after)
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


def keeping(drawn: Sequence[Order], rng: random.Random, share: float) -> list[Order]:
    """Return orders of which this share keeps what it has done."""
    return [
        replace(order, work=order.work.model_copy(update={"keeps": True})) if rng.random() < share else order
        for order in drawn
    ]


def with_names(drawn: Sequence[Order], rng: random.Random, share: float) -> list[Order]:
    """Return orders of which this share has unique names; only such as are sure to be accepted, and none that die."""
    return [
        replace(order, unique=_draw_name(rng))
        if rng.random() < share and not (order.foreign or order.work.rejected)
        else order
        for order in drawn
    ]


def with_groups(drawn: Sequence[Order], rng: random.Random, share: float) -> list[Order]:
    """Return orders of which this share makes groups; only such as make nothing else, and none that die."""
    return [
        replace(order, work=order.work.model_copy(update=_draw_group(rng)))
        if rng.random() < share and not (order.work.rejected or order.work.follow or order.unique)
        else order
        for order in drawn
    ]


def _draw_group(rng: random.Random) -> dict[str, object]:
    members = rng.randint(1, 4)
    dying = rng.choice((0, 0, 1))
    return {"members": members, "dying": dying, "on_failure": rng.choice(("run", "die"))}


def _draw_name(rng: random.Random) -> Unique:
    while_: While = rng.choice(("queued", "queued", "unfinished"))
    return Unique(f"u{rng.randrange(2)}", while_, replace=rng.random() < 0.6)


async def _accepted(world: World) -> list[Order]:
    """Return the orders that were accepted; of those that were replaced since, note that they are cancelled."""
    claims = [event for event in world.history.events if isinstance(event, Claimed)]
    for id in [claim.replaced for claim in claims if claim.replaced is not None]:
        job = await world.backend.inspection.job(id)
        world.cancelled.setdefault(id, job.sequence if job else None)
    holding = {claim.job for claim in claims if claim.kept is None}
    return [order for order in world.orders if order.unique is None or order.id in holding]


class Storm:
    """Troubles, one after another and some at once."""

    def __init__(self, world: World, schedule: Schedule) -> None:
        self._world = world
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
                await world.change_partitions(rng.choice((ORDERED, LOOSE)), rng.choice((1, 2, 3, 4, 6)))
            case "pause a schedule" if world.timetable is not None:
                name = rng.choice([plan.name for plan in world.timetable.plans])
                await world.timetable.pause(name, min(rng.uniform(3.0, 30.0), self._left))
            case "pause work":
                await world.pause_work(self._draw_scope(), min(rng.uniform(3.0, 30.0), self._left))

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
        node.process.spawn(_drain(worker))
        await anyio.sleep(min(self._rng.uniform(0, 30), self._left))
        node.crash()


async def _drain(worker: Worker) -> None:
    worker.drain()


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
    deadline = healed + bound
    while left := await _undone(world, healed):
        if world.spins:
            return [Violation("bounded", f"{len(world.history.events)} events: somebody spins")]
        if running_loop().time() >= deadline:
            return [Violation("progress", f"{bound:.0f} s after the heal there is still {left}")]
        await anyio.sleep(1.0)
    world.note("", "is done")
    for machine in world.machines:
        assert machine.node is not None
        machine.node.process.spawn(_drain(world.workers[machine.node.name]))
    deadline = running_loop().time() + DRAIN_BOUND
    while running := [machine.name for machine in world.machines if machine.up]:
        if running_loop().time() >= deadline:
            return [Violation("progress", f"{', '.join(running)} did not drain within {DRAIN_BOUND:g} s")]
        await anyio.sleep(0.5)
    return []


async def _undone(world: World, healed: float) -> str:
    """Return what is left to do, in words, or an empty string. What has ticked until it `healed` ticks no more."""
    behind = await world.timetable.finish(world.wall_time(healed)) if world.timetable is not None else []
    left = [f"schedule {name} is behind" for name in behind]
    left += [f"to be submitted: {order.id}" for order in world.orders if order.id not in world.confirmed]
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
