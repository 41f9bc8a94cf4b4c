"""A bad network between simulated processes and the real backends.

Each node is a process of its own (`jobkit.testing.virtual_time.Process`) that sees the planes through `Seam.call`:
a request takes time to arrive, takes effect or is lost, and so does its reply. What is under way belongs to no
process, so pausing or killing a node stops neither. All that befalls a call is drawn when it is sent, from the node's
own random numbers, so that a seed means the same schedule whatever order things happen in within one instant.
"""

from __future__ import annotations

import asyncio
import inspect
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol, TypeVar

from jobkit.errors import Unavailable
from jobkit.testing.virtual_time import Process, VirtualClock, running_loop, spawn_outside

T = TypeVar("T")

When = Literal["before", "during", "after"]

PLANES = ("broker", "coordinator", "store")

# What the ports promise to bear being sent twice; a copy may arrive long after the first.
_IDEMPOTENT = frozenset(
    {
        "broker.publish",
        "coordinator.claim",
        "coordinator.renew",
        "coordinator.release",
        "store.submit",
        "store.published",
        "store.open",
        "store.commit",
        "store.fail",
        "store.shelve",
        "store.save_checkpoint",
        "inspection.save_schedule",
    }
)
# Calls that wait for something to happen; they have no reply to lose, but end when the connection does.
_WAITING = frozenset({"consumer.receive", "consumer.barrier", "coordinator.wait_change", "store.wait_finished"})

# What lies on the way to another plane's server.
_CARRIERS = {"consumer": "broker", "inspection": "store"}


@dataclass(frozen=True, slots=True)
class Weather:
    """How a plane answers. Pairs are ranges in seconds, shares are probabilities for each call.

    `slow` calls take `slowness` longer each way, and every second of them is waited for however long it takes.
    Otherwise a caller gives up after its `patience`.
    """

    latency: tuple[float, float] = (0.0005, 0.01)
    patience: tuple[float, float] = (1.0, 4.0)
    lost_request: float = 0.0
    lost_reply: float = 0.0
    duplicate: float = 0.0
    slow: float = 0.0
    slowness: tuple[float, float] = (1.0, 30.0)


CALM = Weather()


@dataclass(frozen=True, slots=True)
class Call:
    """One request of one node, at the (virtual) time it was sent."""

    node: str
    plane: str
    method: str
    arguments: Mapping[str, Any]
    sent_at: float


class Witness(Protocol):
    """Sees every request as it is sent, and as it takes effect."""

    def sent(self, call: Call) -> None: ...

    def took_effect(self, call: Call, answer: object) -> None: ...


@dataclass(frozen=True, slots=True)
class Mishap:
    """What befalls a node at the n-th call of a step such as "store.commit".

    It happens just before the call is sent, while the request is under way, or just after it took effect, when
    the reply is under way. `pause` is for how many seconds the node stops; None: for ever. The request itself takes
    `delay` seconds longer.
    """

    step: str
    when: When
    nth: int = 1
    pause: float | None = None
    delay: float = 0.0


class Session(Protocol):
    """A connection that a consumer of a node is open on; `held` ends once it is closed."""

    node: Node
    held: asyncio.Task[None]

    def close_after(self, seconds: float) -> None: ...


@dataclass(frozen=True, slots=True)
class _Fate:
    """What is drawn for one call. `copy_after`: seconds until a duplicate takes effect, too."""

    there: float
    back: float
    lost_request: bool
    lost_reply: bool
    patience: float
    copy_after: float | None
    survives_crash: bool


@dataclass
class Network:
    """What is between the nodes and the planes: the weather of each plane, and who is cut off from which."""

    witness: Witness
    weather: dict[str, Weather] = field(default_factory=lambda: dict.fromkeys(PLANES, CALM))
    cuts: set[tuple[str, str]] = field(default_factory=set)
    sessions: list[Session] = field(default_factory=list)
    closed: bool = False

    def calm(self) -> None:
        """End all storms and cuts."""
        self.weather = dict.fromkeys(PLANES, CALM)
        self.cuts.clear()

    async def close(self) -> None:
        """Let nothing through any more, and close every connection."""
        self.closed = True
        open_now = list(self.sessions)
        for session in open_now:
            session.close_after(0.0)
        for session in open_now:
            await session.held


class Node:
    """One simulated machine with one jobkit process on it."""

    def __init__(self, name: str, network: Network, rng: random.Random, clock: VirtualClock) -> None:
        self.name = name
        self.network = network
        self.clock = clock
        self.process = Process(name)
        self.mishaps: list[Mishap] = []
        self.on_crash: Callable[[], None] = lambda: None
        self.on_pause: Callable[[float], None] = lambda _: None
        self._rng = rng
        self._reached: Counter[tuple[When, str]] = Counter()

    @property
    def crashed(self) -> bool:
        return self.process.killed

    def pause(self, seconds: float) -> None:
        """Stop everything on this node for so long."""
        if not self.process.frozen:
            self.process.freeze()
            self.on_pause(seconds)
            spawn_outside(self._resume_after(seconds), name=f"resume {self.name}")

    async def _resume_after(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        self.process.thaw()

    def crash(self) -> None:
        """Kill the process. Its consumers' connections break; the broker notices at once, or only much later."""
        if self.crashed:
            return
        self.process.kill()
        self.break_consumers()
        self.on_crash()

    def cut(self, plane: str) -> None:
        """Cut this node off from a plane until `mend`."""
        self.network.cuts.add((self.name, plane))
        if plane == "broker":
            self.break_consumers()

    def mend(self, plane: str) -> None:
        """End a cut."""
        self.network.cuts.discard((self.name, plane))

    def break_consumers(self) -> None:
        """Break the connection of every consumer of this node."""
        for session in self.network.sessions:
            if session.node is self:
                session.close_after(self._rng.choice([0.0, self._rng.uniform(0, 60)]))

    def trap(self, step: str, when: When, *, skip: int = 0, pause: float | None = None, delay: float = 0.0) -> None:
        """Let a mishap befall the node when it next comes to a step, or some times later."""
        self.mishaps.append(Mishap(step, when, self._reached[when, step] + 1 + skip, pause, delay))

    def reach(self, step: str, when: When) -> Mishap | None:
        """Count that the node has come to a step; let happen what is to, and return it."""
        self._reached[when, step] += 1
        for mishap in self.mishaps:
            if (mishap.step, mishap.when, mishap.nth) == (step, when, self._reached[when, step]):
                if mishap.pause is None:
                    self.crash()
                else:
                    self.pause(mishap.pause)
                return mishap
        return None

    # ---- for the seam ----

    def draw(self, plane: str, step: str) -> _Fate:
        weather = self.network.weather.get(plane, CALM)
        rng = self._rng
        there, back = rng.uniform(*weather.latency), rng.uniform(*weather.latency)
        patience = rng.uniform(*weather.patience)
        copy_after = None
        if rng.random() < weather.duplicate and step in _IDEMPOTENT:
            copy_after = rng.choice([0.0, rng.uniform(0, 30)])
        if rng.random() < weather.slow:
            there += rng.choice([0.0, rng.uniform(*weather.slowness)])
            back += rng.choice([0.0, rng.uniform(*weather.slowness)])
            patience = rng.choice([patience, there + back + 1.0])
        return _Fate(
            there=there,
            back=back,
            lost_request=rng.random() < weather.lost_request,
            lost_reply=rng.random() < weather.lost_reply,
            patience=patience,
            copy_after=copy_after,
            survives_crash=rng.random() < 0.5,
        )


class Seam:
    """Through which every call of one node goes."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self._names: dict[str, tuple[str, ...]] = {}

    async def call(
        self, plane: str, method: str, function: Callable[..., Awaitable[T]], /, *args: object, **kwargs: object
    ) -> T:
        """Send a request and wait for its reply. Raises `Unavailable`, or what `function` raises."""
        step, carrier_plane = f"{plane}.{method}", _CARRIERS.get(plane, plane)
        network = self.node.network
        if network.closed:
            raise Unavailable(carrier_plane, "the simulation is over")
        if step not in self._names:
            self._names[step] = tuple(inspect.signature(function).parameters)
        arguments = {**dict(zip(self._names[step], args, strict=False)), **kwargs}
        call = Call(self.node.name, plane, method, arguments, running_loop().time())
        fate = self.node.draw(carrier_plane, step)
        network.witness.sent(call)
        if self.node.reach(step, "before"):
            # Goes on when the process does: after its pause, or never.
            await asyncio.sleep(0)
        reply: asyncio.Future[Callable[[], T]] = running_loop().create_future()
        work = lambda: function(*args, **kwargs)  # noqa: E731
        waiting = step in _WAITING
        if mishap := self.node.reach(step, "during"):
            # What is already on its way arrives, however late.
            fate = replace(fate, there=fate.there + mishap.delay, survives_crash=True)
        carrier = spawn_outside(self._carry(call, carrier_plane, fate, work, reply, waiting=waiting), name=step)
        try:
            return (await reply)()
        finally:
            if waiting:
                carrier.cancel()

    async def _carry(
        self,
        call: Call,
        plane: str,
        fate: _Fate,
        work: Callable[[], Awaitable[T]],
        reply: asyncio.Future[Callable[[], T]],
        *,
        waiting: bool,
    ) -> None:
        """Take a request to its plane, and the answer back."""

        def give_up() -> None:
            answer(_raising(Unavailable(plane, f"no answer to {call.method}")))

        def answer(outcome: Callable[[], T]) -> None:
            if not reply.done():
                reply.set_result(outcome)

        def cut_off() -> bool:
            return (self.node.name, plane) in self.node.network.cuts

        if not waiting:
            running_loop().call_later(fate.patience, give_up)
        await asyncio.sleep(fate.there)
        if cut_off() or (fate.lost_request and not waiting):
            if waiting:
                await asyncio.sleep(fate.patience)
                give_up()
            return
        if self.node.crashed and not fate.survives_crash:
            return
        outcome = await self._take_effect(call, work)
        self.node.reach(f"{call.plane}.{call.method}", "after")
        if fate.copy_after is not None:
            spawn_outside(self._take_copy(call, fate.copy_after, work))
        await asyncio.sleep(fate.back)
        if not (cut_off() or (fate.lost_reply and not waiting)):
            answer(outcome)
        elif waiting:
            give_up()

    async def _take_effect(self, call: Call, work: Callable[[], Awaitable[T]]) -> Callable[[], T]:
        try:
            found = await work()
        except Exception as error:  # noqa: BLE001  (carried to the caller, whatever it is)
            return _raising(error)
        self.node.network.witness.took_effect(call, found)
        return lambda: found

    async def _take_copy(self, call: Call, seconds: float, work: Callable[[], Awaitable[T]]) -> None:
        await asyncio.sleep(seconds)
        await self._take_effect(call, work)


def _raising(error: Exception) -> Callable[[], Any]:
    def raise_it() -> Any:
        raise error

    return raise_it
