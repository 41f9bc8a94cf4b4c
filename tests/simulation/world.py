"""The simulated world: machines that run real workers and a real client, against real SQL, in virtual time.

Only the network, the clocks and the entropy are simulated. Coordinator and broker have databases of their own, so that
each can lose all it knows while the store keeps its data.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from itertools import cycle
from pathlib import Path
from typing import Any, Literal

import anyio
import anyio.lowlevel
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.trace import NoOpTracerProvider

from jobkit import Concurrency, Context, Payload, Processor, Rate, Reject, Result, Retry, RetryPolicy, processor
from jobkit.backends.local_files.blobs import LocalFileBlobs
from jobkit.backends.sqlite.broker import SqliteBroker
from jobkit.backends.sqlite.connection import MEMORY
from jobkit.backends.sqlite.coordinator import SqliteCoordinator
from jobkit.backends.sqlite.engine import Engine, open_engine
from jobkit.backends.sqlite.store import SqliteStore
from jobkit.backends.sqlite.transaction import Transaction
from jobkit.client import Client
from jobkit.client.layouts import Layouts
from jobkit.errors import Unavailable
from jobkit.model.clock import Clock
from jobkit.model.concurrency import Concurrency as Slots
from jobkit.model.envelope import Envelope
from jobkit.model.layout import Layout
from jobkit.model.partition import Partition
from jobkit.model.pause import Scope
from jobkit.model.priority import Priority
from jobkit.model.unique import Unique
from jobkit.ops.topology import repartition
from jobkit.plugin.registry import Registry
from jobkit.ports.broker import Broker, Published
from jobkit.ports.inspection import UNFINISHED, JobRecord, JobState
from jobkit.ports.planes import Planes
from jobkit.settings import Settings
from jobkit.telemetry import Telemetry
from jobkit.testing.virtual_time import VirtualClock, running_loop, spawn_outside
from jobkit.worker.worker import Worker
from simulation.history import (
    Cancelled,
    Forgot,
    History,
    Journal,
    Paused,
    Repartitioned,
    Reprioritized,
    Resumed,
    Step,
    Stray,
    Trouble,
    Unfair,
)
from simulation.kept_work import STEP_SECONDS, Keeping
from simulation.network import Network, Node
from simulation.remote import remote_planes
from simulation.timetable import Plan, Timetable

ORDERED, LOOSE = "chapter", "photo"
# So many loose jobs of each of two tenants are in the queue or run at a time, where they take turns.
PLACES = 2
# The ordered jobs are of two types in one group: all that holds for a key holds over both.
APPENDIX = "appendix"
MAX_ATTEMPTS = 4
# What loose jobs need in half of the runs: over all of them, and over those of each key.
PAIR = Concurrency("pair", 2)
BEGINS = Rate("begins", 4, per=timedelta(seconds=8), key=lambda job: job.key)
_RETRY = RetryPolicy(max_attempts=MAX_ATTEMPTS, initial=timedelta(seconds=0.5), maximum=timedelta(seconds=4))

# By so much the wall clock of one worker is wrong, in seconds.
WRONG_BY = 3600.0

# A run has about a thousand.
_MOST_EVENTS = 6_000

SETTINGS = Settings(
    concurrency=Slots(4),
    partitions=3,
    prefetch=6,
    lease_ttl=6.0,
    lease_guard=1.0,
    claim_wait=10.0,
    delivery_hold=8.0,
    gap_hold=5.0,
    gap_limit=4,
    relay_grace=1.0,
    republish_seconds=8.0,
    drain_seconds=8.0,
)


def settings_of(seed: int) -> Settings:
    """Draw what a run's workers and client are told; the times that bounds are stated in stay as they are."""
    rng = random.Random(f"settings {seed}")
    drawn: dict[str, object] = {
        "concurrency": Slots(rng.choice((1, 2, 4))),
        "partitions": rng.choice((1, 2, 3, 4)),
        "prefetch": rng.choice((1, 3, 10)),
        "gap_hold": rng.choice((1.5, 5.0)),
        "gap_limit": rng.choice((1, 4)),
        "delivery_hold": rng.choice((3.0, 8.0)),
    }
    return SETTINGS.model_copy(update=drawn)


class Work(Payload):
    """A job: it sleeps for each of `steps` seconds, fails `fails` times, and submits `follow` jobs as it commits.

    One that `keeps` what it has done goes on from there.
    And a group of so many `members`, the first `dying` of which are rejected; `then` runs all the same, or dies.
    """

    key: str
    number: int
    steps: tuple[float, ...] = (0.1,)
    fails: int = 0
    rejected: bool = False
    follow: int = 0
    keeps: bool = False
    members: int = 0
    dying: int = 0
    on_failure: Literal["run", "die"] = "run"

    @property
    def longest(self) -> float:
        """The most seconds it may take where nothing goes wrong: all attempts, the waits between them, follow-ups."""
        waits = 4.0 * self.fails
        # A job that a person has to look after waits for that.
        return (
            (sum(self.steps) + STEP_SECONDS * self.keeps + 1.0) * (self.fails + 1)
            + waits
            + self.follow
            + self._grouped
            + 20.0 * self.rejected
        )

    @property
    def _grouped(self) -> float:
        return 4.0 * (self.members + 1) if self.members else 0.0


class Done(Result):
    number: int


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be submitted, and when (seconds from the start).

    `later`: it is to run so many seconds after it is accepted. `foreign`: not through the client, but by a
    publisher that knows nothing of the store. Under its `unique` name it may replace another one.
    """

    after: float
    type: str
    id: str
    work: Work
    foreign: bool = False
    later: float = 0.0
    unique: Unique | None = None


@dataclass
class Machine:
    """A machine that runs one process at a time, and starts the next some time after one died."""

    name: str
    clock: VirtualClock
    life: Callable[[Node], Coroutine[Any, Any, None]]
    node: Node | None = None
    task: asyncio.Task[None] | None = None
    starts: int = 0

    @property
    def up(self) -> bool:
        """Tell whether its process runs."""
        return self.node is not None and not self.node.crashed and self.task is not None and not self.task.done()


class World:
    """All there is in one run of one seed.

    `clock_of` lets a test give workers another clock than they should have, `on_start` lets it lay traps.
    """

    def __init__(self, seed: int, backend: Planes, coordinator: Engine, broker: Engine, clock: VirtualClock) -> None:
        self.seed = seed
        self._clock = clock
        self.rng = random.Random(f"world {seed}")
        self.history = History()
        self.keeping = Keeping(self.history)
        self.network = Network(self.history)
        self.backend = backend
        self.workers: dict[str, Worker] = {}
        self.orders: list[Order] = []
        self.confirmed: set[str] = set()
        # What a person was told is cancelled, with the sequence that it had.
        self.cancelled: dict[str, int | None] = {}
        self.settings = settings_of(seed)
        # In half of the runs loose jobs have priorities.
        self.prioritized = random.Random(f"priorities {seed}").random() < 0.5
        self.limited = random.Random(f"limits {seed}").random() < 0.5
        self.tenanted = False
        self.on_start: Callable[[Node], None] = lambda _: None
        self.died: list[str] = []
        self.healed = False
        self.timetable: Timetable | None = None
        self.clock_of: Callable[[VirtualClock], Clock] = lambda clock: clock
        self._coordinator = coordinator.plane("coordinator")
        self._broker = broker.plane("broker")
        self.started = running_loop().time()
        self.machines = [self._machine(f"w{number}", self._work) for number in (1, 2, 3)]
        self.client = self._machine("client", self._submit)

    def _machine(self, name: str, life: Callable[[Node], Coroutine[Any, Any, None]]) -> Machine:
        # No two machines agree on the time, nor on how fast it goes.
        rng = random.Random(f"machine {self.seed} {name}")
        clock = VirtualClock(rate=rng.uniform(0.996, 1.004), offset=rng.uniform(0, 100_000))
        if name == "w1":
            clock.jump_wall(rng.choice((-WRONG_BY, WRONG_BY)))
        return Machine(name, clock, life)

    @property
    def spins(self) -> bool:
        """Tell whether much more happens than could with any sense."""
        return len(self.history.events) > _MOST_EVENTS

    def wall_time(self, at: float) -> float:
        """Return what the servers' clock says at a moment of the loop's time."""
        return at + self._clock.wall() - running_loop().time()

    def loop_time(self, wall: float) -> float:
        """Return the moment of the loop's time at which the servers' clock says that."""
        return wall - self._clock.wall() + running_loop().time()

    # ---- machines ----------------------------------------------------------------------------------------------

    def start(self, machine: Machine) -> None:
        """Start the machine's next process."""
        machine.starts += 1
        name = f"{machine.name}.{machine.starts}"
        node = Node(name, self.network, random.Random(f"node {self.seed} {name}"), machine.clock)
        self.history.processes[name] = node.process
        machine.node = node
        node.on_pause = lambda seconds: self.note(name, f"pauses for {seconds:.2f} s")
        node.on_crash = lambda: self._crashed(machine, name)
        self.on_start(node)
        self.note(name, "starts")
        machine.task = node.process.spawn(self._guarded(node, machine.life))

    async def _guarded(self, node: Node, life: Callable[[Node], Coroutine[Any, Any, None]]) -> None:
        try:
            await life(node)
        except Exception as error:  # noqa: BLE001  (told by the checker)
            self.died.append(f"{node.name}: {error!r}")

    def _crashed(self, machine: Machine, name: str) -> None:
        self.note(name, "crashes")
        spawn_outside(self._restart(machine, self.rng.uniform(0.0, 10.0)))

    async def _restart(self, machine: Machine, seconds: float) -> None:
        await anyio.sleep(seconds)
        if not machine.up and not self.healed:
            self.start(machine)

    def note(self, name: str, what: str) -> None:
        """Add what the schedule does to the history."""
        self.history.add(Trouble(running_loop().time(), name, what))

    async def prune(self) -> None:
        """Let the coordinator lose all it knows, its token counter too."""
        await self._coordinator.write(_lose_leases)
        self.history.add(Forgot(running_loop().time()))

    async def lose_messages(self) -> None:
        """Let the broker lose all messages. What a foreign publisher had put there it has to publish again itself."""
        await self._broker.write(_lose_messages)
        self.note("", "the broker loses everything")
        now = running_loop().time() - self.started
        for order in [order for order in self.orders if order.foreign and order.after <= now]:
            if await self.backend.inspection.job(order.id) is None:
                await self._publish(self.backend.broker, order)

    async def open_timetable(self) -> None:
        """Have two schedules tick: of one each tick counts, the other has one job at a time."""
        assert self.client.node is not None
        registry = Registry(processors(self, self.client.node))
        plans = [
            Plan("each", ORDERED, Work(key="each", number=0), every=6, each=True),
            Plan("one", LOOSE, Work(key="one", number=0, steps=(0.5,)), every=9, each=False),
        ]
        self.timetable = Timetable(self.backend.inspection, registry, plans)
        await self.timetable.add()

    # ---- what runs on them -------------------------------------------------------------------------------------

    async def _work(self, node: Node) -> None:
        """Run workers until one was drained, as a supervisor would."""
        registry = Registry(processors(self, node))
        rng = random.Random(f"worker {self.seed} {node.name}")
        while True:
            worker = Worker(
                remote_planes(node, self.backend),
                registry,
                [ORDERED, LOOSE],
                self.settings,
                clock=self.clock_of(node.clock),
                rng=rng,
                telemetry=self._telemetry(node),
                owner=node.name,
                watchdog=False,
            )
            self.workers[node.name] = worker
            try:
                await worker.run()
                self.note(node.name, "ends")
                return
            except Unavailable:
                if worker.draining:
                    return
                await node.clock.sleep(1.0)

    async def _submit(self, node: Node) -> None:
        """Submit what is to be submitted, in its order, each as often as it takes to be sure.

        Two clients do so in turn: what one has heard of the store, the other has not yet.
        """
        registry, planes = Registry(processors(self, node)), remote_planes(node, self.backend)
        clients = cycle(
            Client(planes, registry, self.settings, clock=node.clock, telemetry=self._telemetry(node)) for _ in range(2)
        )
        for order, client in zip(self.orders, clients, strict=False):
            if order.id in self.confirmed:
                continue
            # By the true time: a fast clock would submit early, and what is to run later would be due early.
            await anyio.sleep(max(0.0, self.started + order.after - running_loop().time()))
            while order.id not in self.confirmed:
                try:
                    if order.foreign:
                        await self._publish(planes.broker, order)
                    else:
                        later, priority = timedelta(seconds=order.later), self._priority(order)
                        await client.submit(
                            _member(order), order.work, id=order.id, after=later, priority=priority, **_named(order)
                        )
                    self.confirmed.add(order.id)
                except Unavailable:
                    await node.clock.sleep(0.5)

    def _priority(self, order: Order) -> Priority | None:
        if order.type != LOOSE or not self.prioritized:
            return None
        return random.Random(f"priority {self.seed} {order.id}").choice(list(Priority))

    async def _publish(self, broker: Broker, order: Order) -> None:
        """Publish a bare message, as a program in another language would: type, id and body."""
        # Whoever runs such a program sets the number there, too; what comes into another queue is moved on.
        # Asked outside of the process that publishes: the store must not stand still with it.
        layouts = await spawn_outside(self.backend.store.layouts())
        layout = layouts.get(order.type) or Layout.first(self.settings.partitions)
        partition = layout.partition(order.type, order.work.key)
        await broker.declare(order.type, layout.made)
        body = order.work.model_dump_json().encode()
        if order.type == ORDERED:
            body = b'{"%b": %b}' % (_member(order).encode(), body)
        (answer,) = await broker.publish([(partition, Envelope(order.id, order.type, body))])
        if not isinstance(answer, Published):
            raise Unavailable("broker", answer.reason)

    async def look_after_gaps(self) -> None:
        """Do what a person does about ordered keys that stand still behind a dead letter: try it again, or skip it."""
        inspection = self.backend.inspection
        rng = random.Random(f"operator {self.seed}")
        while True:
            await anyio.sleep(rng.uniform(0.5, 5.0))
            for gap in await inspection.gaps():
                dead = [letter for letter in await inspection.dead(type=gap.type) if letter.key == gap.key]
                letter = next((letter for letter in dead if letter.sequence == gap.expected), None)
                if letter is None:
                    continue
                if rng.random() < 0.3:
                    self.note("operator", f"requeues {letter.id}")
                    await inspection.requeue_dead(letter.number)
                else:
                    self.note("operator", f"skips {letter.id}")
                    await inspection.skip_gap(gap.type, gap.key, before=gap.expected + 1)

    async def cancel_some(self, share: float) -> None:
        """Do what a person does who wants some of the jobs no more, whatever has become of them by then."""
        rng = random.Random(f"canceller {self.seed}")
        async with anyio.create_task_group() as cancelling:
            for order in self.orders:
                if rng.random() < share:
                    after = order.after + rng.choice((rng.uniform(0, 1), rng.uniform(0, 20)))
                    # Of a group one member, for then the others go on.
                    id = member_id(order.id, order.work.members - 1) if order.work.members else order.id
                    cancelling.start_soon(self._cancel, id, after)

    async def _cancel(self, id: str, after: float) -> None:
        await anyio.sleep(max(0.0, self.started + after - running_loop().time()))
        (answer,) = await self.backend.inspection.cancel([id], by="operator", reason="not wanted")
        if answer.state is JobState.CANCELLED:
            self.history.add(Cancelled(running_loop().time(), id))
            job = await self.backend.inspection.job(id)
            self.cancelled[id] = job.sequence if job else None

    async def reprioritize_some(self, share: float) -> None:
        """Do what a person does who wants some of the jobs sooner or later, whatever has become of them by then."""
        rng = random.Random(f"prioritizer {self.seed}")
        async with anyio.create_task_group() as changing:
            for order in self.orders:
                if self.prioritized and order.type == LOOSE and rng.random() < share:
                    after = order.after + rng.choice((rng.uniform(0, 1), rng.uniform(0, 20)))
                    changing.start_soon(self._reprioritize, order.id, after, rng.choice(list(Priority)))

    async def _reprioritize(self, id: str, after: float, priority: Priority) -> None:
        await anyio.sleep(max(0.0, self.started + after - running_loop().time()))
        (answer,) = await self.backend.inspection.reprioritize([id], priority)
        if answer.changed:
            self.history.add(Reprioritized(running_loop().time(), id, priority))

    async def pause_work(self, scope: Scope, seconds: float) -> None:
        """Do what a person does who has some of the work rest for a while."""
        inspection = self.backend.inspection
        await inspection.pause(scope, by="operator", reason="for a while")
        self.history.add(Paused(running_loop().time(), scope))
        await anyio.sleep(seconds)
        self.history.add(Resumed(running_loop().time(), scope))
        await inspection.resume(scope)

    async def change_partitions(self, type: str, partitions: int) -> None:
        """Do what a person does who wants another number of partitions."""
        layouts = Layouts(self.backend.store, self.settings.partitions, VirtualClock())
        await repartition(layouts, [type], partitions)
        self.history.add(Repartitioned(running_loop().time(), type, partitions))

    async def look_for_strays(self) -> None:
        """Look, as nothing in the store does, whether a job that has ended is still on its way to a worker."""
        rng = random.Random(f"strays {self.seed}")
        seen: set[tuple[str, str]] = set()
        while True:
            await anyio.sleep(rng.uniform(0.1, 1.0))
            for id, place in await self._on_their_way():
                job = await self.backend.inspection.job(id)
                if (job is None or job.state.ended) and (id, place) not in seen:
                    seen.add((id, place))
                    self.history.add(Stray(running_loop().time(), id, place))

    async def look_for_unfairness(self) -> None:
        """Look, at one moment each time, how many jobs of each tenant are on their way, and how many wait."""
        rng = random.Random(f"tenants {self.seed}")
        while True:
            await anyio.sleep(rng.uniform(0.1, 1.0))
            jobs = await self.backend.inspection.jobs(type=LOOSE, limit=10_000)
            lines = {_line(job) for job in jobs if job.tenant is not None and job.state in UNFINISHED}
            for line in sorted(lines):
                own = [job for job in jobs if job.state in UNFINISHED and _line(job) == line]
                placed = sum(job.state is not JobState.SCHEDULED for job in own)
                waiting = sum(job.waits_for_place for job in own)
                if placed > PLACES or (waiting and placed < PLACES):
                    self.history.add(Unfair(running_loop().time(), line, placed, waiting))

    async def _on_their_way(self) -> list[tuple[str, str]]:
        store = self.backend.store
        entries = [(entry.envelope.id, "the outbox") for entry in await store.outbox(older_than=-1, limit=10_000)]
        layouts = await store.layouts()
        for type in (ORDERED, LOOSE):
            for index in range(layouts[type].made if type in layouts else 0):
                shelved = await store.shelved(Partition(type, index), limit=10_000)
                entries += [(one.envelope.id, "flight") for one in shelved]
        return entries

    async def forget_ended(self, older_than: float) -> None:
        """Run retention all the time, as a worker would now and then."""
        while True:
            await anyio.sleep(1.0)
            await self.backend.inspection.prune(older_than=older_than, keep_at_most=1_000_000)

    def _telemetry(self, node: Node) -> Telemetry:
        return Telemetry(meters=NoOpMeterProvider(), tracers=NoOpTracerProvider(), log=Journal(self.history, node.name))

    def step(self, node: Node, job: Work, ctx: Context) -> None:
        """Note that a processor does something."""
        self.history.add(
            Step(
                running_loop().time(),
                node.name,
                f"{ctx.job.type}/{ctx.job.key}",
                ctx.job.id,
                ctx.job.attempt,
                ctx.fence,
                resumed=self.history.resumed(node.name),
            )
        )


def processors(world: World, node: Node) -> list[Processor[Any, Any]]:
    """Return the processors as one node runs them."""

    async def work(job: Work, ctx: Context) -> Done:
        world.step(node, job, ctx)
        done = await world.keeping.resume(ctx) if job.keeps else 0
        for number, seconds in list(enumerate(job.steps))[done:]:
            if node.reach("processor.step", "before"):
                await anyio.lowlevel.checkpoint()
            await ctx.clock.sleep(seconds)
            if node.reach("processor.step", "after"):
                await anyio.lowlevel.checkpoint()
            world.step(node, job, ctx)
            await ctx.progress((number + 1) / len(job.steps))
            if job.keeps:
                await world.keeping.reach(ctx, number + 1)
        if job.rejected:
            raise Reject("planned")
        if ctx.job.attempt <= job.fails:
            raise Retry("planned")
        ctx.append("done", {"number": job.number})
        ctx.record("last", job.number)
        for number in range(job.follow):
            # A follow-up goes to an ordered key and to a loose one in turn.
            type = (ORDERED, LOOSE)[number % 2]
            ctx.submit(type, Work(key=f"{job.key}+", number=number), id=f"{ctx.job.id}.{number}")
        if job.members:
            members = [
                Work(key=f"{job.key}.{number}", number=number, rejected=number < job.dying)
                for number in range(job.members)
            ]
            ctx.submit_group(
                [ctx.new_job(LOOSE, one, id=member_id(ctx.job.id, one.number)) for one in members],
                then=ctx.new_job(
                    (ORDERED, LOOSE)[job.members % 2], Work(key=job.key, number=0), id=then_id(ctx.job.id)
                ),
                on_failure=job.on_failure,
            )
        return Done(number=job.number)

    groups = {ORDERED: ORDERED, APPENDIX: ORDERED, LOOSE: None}
    return [
        processor(
            type,
            key=lambda job: job.key,
            ordered=group is not None,
            timeout=timedelta(minutes=2),
            retry=_RETRY,
            group=group,
            limits=[PAIR, BEGINS] if type == LOOSE and world.limited else [],
            priority="normal" if type == LOOSE and world.prioritized else None,
            tenant=(lambda job: f"t{job.number % 2}") if type == LOOSE and world.tenanted else None,
            places=PLACES if type == LOOSE and world.tenanted else None,
        )(work)
        for type, group in groups.items()
    ]


def _line(job: JobRecord) -> str:
    """Return the line of a tenant's job; nothing where it is none's, as a foreign publisher's."""
    return "" if job.tenant is None else f"{job.priority} {job.tenant}"


def member_id(maker: str, number: int) -> str:
    """Return the id of a member of the group that a job makes."""
    return f"{maker}.m{number}"


def then_id(maker: str) -> str:
    """Return the id of the job that closes the group that a job makes."""
    return f"{maker}.then"


def _named(order: Order) -> dict[str, Any]:
    unique = order.unique
    if unique is None:
        return {}
    return {"unique": unique.name, "while_": unique.while_, "on_conflict": "replace" if unique.replace else "keep"}


def _member(order: Order) -> str:
    """Return which type of its group a job is of: every other ordered one is an appendix."""
    return APPENDIX if order.type == ORDERED and order.work.number % 2 else order.type


@asynccontextmanager
async def open_world(seed: int) -> AsyncIterator[World]:
    """Make a world whose machines are all off; nothing reaches its backends any more once the block ends."""
    clock = VirtualClock()
    async with AsyncExitStack() as stack:
        engine = await stack.enter_async_context(open_engine(MEMORY, clock))
        coordinator = await stack.enter_async_context(open_engine(MEMORY, clock))
        broker = await stack.enter_async_context(open_engine(MEMORY, clock))
        store = SqliteStore(engine)
        # Files need threads, which virtual time has none of: no job of the simulation writes any.
        blobs = LocalFileBlobs(Path("never-made"))
        backend = Planes(SqliteBroker(broker), SqliteCoordinator(coordinator), store, store, blobs)
        world = World(seed, backend, coordinator, broker, clock)
        try:
            yield world
        finally:
            await world.network.close()


def _lose_messages(transaction: Transaction) -> None:
    transaction.execute("DELETE FROM messages")


def _lose_leases(transaction: Transaction) -> None:
    transaction.execute("DELETE FROM leases")
    transaction.execute("DELETE FROM limit_uses")
    transaction.execute("DELETE FROM members")
    transaction.execute("UPDATE tokens SET highest = 0")
