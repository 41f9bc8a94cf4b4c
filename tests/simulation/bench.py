"""One node and one server on a network, to see what the network does to calls."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

import anyio

from jobkit.testing.virtual_time import VirtualClock, run_virtual, running_loop
from simulation.network import Call, Network, Node, Seam, Weather

T = TypeVar("T")


@dataclass
class Seen:
    """A witness that keeps what it saw."""

    calls: list[Call] = field(default_factory=list)
    effects: list[tuple[Call, object]] = field(default_factory=list)

    def sent(self, call: Call) -> None:
        self.calls.append(call)

    def took_effect(self, call: Call, answer: object) -> None:
        self.effects.append((call, answer))


class Server:
    """A plane that notes when it was reached."""

    def __init__(self) -> None:
        self.effects: list[float] = []
        self.reached = anyio.Event()

    async def open(self, number: int) -> int:
        self.effects.append(running_loop().time())
        self.reached.set()
        return number + 1

    async def fail(self) -> None:
        raise ValueError("no")

    async def wait_finished(self, timeout: float) -> None:
        await anyio.sleep(timeout)


@dataclass
class Bench:
    """One node, one server, and what happened."""

    network: Network
    node: Node
    seam: Seam
    server: Server
    seen: Seen

    def open(self, number: int = 1) -> Coroutine[Any, Any, int]:
        return self.seam.call("store", "open", self.server.open, number)

    def spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        return self.node.process.spawn(work)


def on_bench(test: Callable[[Bench], Coroutine[Any, Any, T]], weather: Weather | None = None, seed: int = 1) -> T:
    """Run `test` in virtual time."""

    async def main() -> T:
        seen = Seen()
        network = Network(seen)
        if weather is not None:
            network.weather["store"] = weather
        node = Node("n", network, random.Random(seed), VirtualClock())
        return await test(Bench(network, node, Seam(node), Server(), seen))

    return run_virtual(main(), seed=seed)
