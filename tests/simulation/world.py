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
from typing import Any

import anyio
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.trace import NoOpTracerProvider

from jobkit.backends.local_files.blobs import LocalFileBlobs
from jobkit.backends.sqlite.broker import SqliteBroker
from jobkit.backends.sqlite.connection import MEMORY
from jobkit.backends.sqlite.coordinator import SqliteCoordinator
from jobkit.backends.sqlite.engine import Engine, open_engine
from jobkit.backends.sqlite.store import SqliteStore
from jobkit.backends.sqlite.transaction import Transaction
from jobkit.client import Client
from jobkit.errors import Unavailable
from jobkit.model.clock import Clock
from jobkit.model.envelope import Envelope
from jobkit.model.layout import Layout
from jobkit.model.priority import Priority
from jobkit.plugin.registry import Registry
from jobkit.ports.broker import Broker, Published
from jobkit.ports.planes import Planes
from jobkit.telemetry import Telemetry
from jobkit.testing.virtual_time import VirtualClock, running_loop, spawn_outside
from jobkit.worker.worker import Worker
from simulation.events import Forgot, Trouble
from simulation.history import History, Journal
from simulation.kept_work import Keeping
from simulation.network import Network, Node
from simulation.notices import NOTICE, NOTICES, told_by_processor, told_to_submitter
from simulation.remote import remote_planes
from simulation.timetable import Plan, Timetable
from simulation.trimming import PROJECTIONS, RETENTION, DroppedEntries, Trimmings
from simulation.work import APPENDIX, LOOSE, ORDERED, Order, Work, processors, settings_of

# By so much the wall clock of one worker is wrong, in seconds.
WRONG_BY = 3600.0

# A run has about a thousand.
_MOST_EVENTS = 6_000


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
        """Return whether its process runs."""
        return self.node is not None and not self.node.crashed and self.task is not None and not self.task.done()


class World:
    """All there is in one run of one seed.

    `clock_of` lets a test give workers another clock than they should have, `on_start` lets it lay traps.
    """

    def __init__(
        self, seed: int, backend: Planes, store: Engine, coordinator: Engine, broker: Engine, clock: VirtualClock
    ) -> None:
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
        # The dead members of groups that somebody has looked after.
        self.mended: set[str] = set()
        self.settings = settings_of(seed)
        # In half of the runs loose jobs have priorities.
        self.prioritized = random.Random(f"priorities {seed}").random() < 0.5
        self.limited = random.Random(f"limits {seed}").random() < 0.5
        self.tenanted = False
        self.notifying = False
        self.trimming = False
        self.trimmings: Trimmings | None = None
        self.on_start: Callable[[Node], None] = lambda _: None
        self.died: list[str] = []
        self.healed = False
        self.timetable: Timetable | None = None
        self.clock_of: Callable[[VirtualClock], Clock] = lambda clock: clock
        self.dropped = DroppedEntries(store.plane("store"))
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
        """Return whether much more happens than could with any sense."""
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
        registry = self._registry(self.client.node)
        plans = [
            Plan("each", ORDERED, Work(key="each", number=0), every=6, each=True),
            Plan("one", LOOSE, Work(key="one", number=0, steps=(0.5,)), every=9, each=False),
        ]
        self.timetable = Timetable(self.backend.inspection, registry, plans)
        await self.timetable.add()

    # ---- what runs on them -------------------------------------------------------------------------------------

    async def _work(self, node: Node) -> None:
        """Run workers until one was drained, as a supervisor would."""
        registry = self._registry(node)
        rng = random.Random(f"worker {self.seed} {node.name}")
        while True:
            worker = Worker(
                remote_planes(node, self.backend),
                registry,
                [ORDERED, LOOSE, *[NOTICE] * self.notifying],
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
        registry, planes = self._registry(node), remote_planes(node, self.backend)
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
                        await client.submit(
                            _member(order),
                            order.work,
                            id=order.id,
                            after=timedelta(seconds=order.later),
                            expires=timedelta(seconds=order.expires) if order.expires else None,
                            priority=self._priority(order),
                            notify=told_to_submitter(order),
                            **_named(order),
                        )
                    self.confirmed.add(order.id)
                except Unavailable:
                    await node.clock.sleep(0.5)

    def _priority(self, order: Order) -> Priority | None:
        if order.type != LOOSE or not self.prioritized:
            return None
        return order.priority or random.Random(f"priority {self.seed} {order.id}").choice(list(Priority))

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

    def _registry(self, node: Node) -> Registry:
        made = processors(
            node,
            self.history,
            self.keeping,
            mended=self.mended,
            limited=self.limited,
            prioritized=self.prioritized,
            tenanted=self.tenanted,
            notify=[told_by_processor] if self.notifying else [],
            projections=PROJECTIONS if self.trimming else [],
            kept=RETENTION if self.trimming else {},
        )
        return Registry([*made, NOTICES] if self.notifying else made)

    def _telemetry(self, node: Node) -> Telemetry:
        return Telemetry(meters=NoOpMeterProvider(), tracers=NoOpTracerProvider(), log=Journal(self.history, node.name))


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
        world = World(seed, backend, engine, coordinator, broker, clock)
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
