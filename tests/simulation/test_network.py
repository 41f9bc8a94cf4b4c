"""The simulated network itself: each way to misbehave does what it says, and no more."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

import anyio
import pytest

from jobkit.errors import ConsumerClosed, Unavailable
from jobkit.fence import Receipt
from jobkit.partition import Partition
from jobkit.ports.broker import Broker, Consumer, Delivery
from jobkit.ports.planes import Planes
from jobkit.testing.virtual_time import VirtualClock, run_virtual, running_loop
from simulation.network import Call, Mishap, Network, Node, Seam, Weather
from simulation.remote import remote_planes

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

    async def wait_outbox(self, timeout: float) -> None:
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


def test_in_calm_weather_a_call_returns_and_takes_a_little_time() -> None:
    async def test(bench: Bench) -> None:
        started = running_loop().time()
        assert await bench.spawn(bench.open(41)) == 42
        assert started < bench.server.effects[0] < running_loop().time() < started + 0.1
        (call,) = bench.seen.calls
        assert (call.node, call.plane, call.method, call.arguments) == ("n", "store", "open", {"number": 41})
        assert bench.seen.effects == [(call, 42)]

    on_bench(test)


def test_an_error_of_the_backend_reaches_the_caller() -> None:
    async def test(bench: Bench) -> None:
        with pytest.raises(ValueError, match="no"):
            await bench.spawn(bench.seam.call("store", "fail", bench.server.fail))

    on_bench(test)


def test_a_lost_request_has_no_effect_and_is_unavailable() -> None:
    async def test(bench: Bench) -> None:
        started = running_loop().time()
        with pytest.raises(Unavailable):
            await bench.spawn(bench.open())
        assert running_loop().time() - started >= 1
        await anyio.sleep(100)
        assert bench.server.effects == []

    on_bench(test, Weather(lost_request=1))


def test_a_lost_reply_has_its_effect_and_is_unavailable() -> None:
    async def test(bench: Bench) -> None:
        with pytest.raises(Unavailable):
            await bench.spawn(bench.open())
        assert len(bench.server.effects) == 1

    on_bench(test, Weather(lost_reply=1))


def test_a_slow_call_may_take_effect_after_its_caller_gave_up() -> None:
    async def attempt(bench: Bench) -> bool:
        try:
            await bench.spawn(bench.open())
        except Unavailable:
            before = len(bench.server.effects)
            await anyio.sleep(100)
            return before == 0 and len(bench.server.effects) == 1
        return False

    weather = Weather(slow=1, slowness=(10, 20))
    assert any(on_bench(attempt, weather, seed) for seed in range(20))


def test_a_slow_reply_may_be_waited_for() -> None:
    async def attempt(bench: Bench) -> bool:
        started = running_loop().time()
        try:
            await bench.spawn(bench.open())
        except Unavailable:
            return False
        return running_loop().time() - started > 9

    assert any(on_bench(attempt, Weather(slow=1, slowness=(10, 20)), seed) for seed in range(20))


def test_an_idempotent_call_may_take_effect_twice() -> None:
    async def test(bench: Bench) -> None:
        assert await bench.spawn(bench.open()) == 2
        await anyio.sleep(60)
        assert len(bench.server.effects) == 2

    on_bench(test, Weather(duplicate=1))


def test_a_cut_stops_requests_and_replies_of_one_node_and_plane_until_it_is_mended() -> None:
    async def test(bench: Bench) -> None:
        bench.node.cut("store")
        with pytest.raises(Unavailable):
            await bench.spawn(bench.open())
        assert bench.server.effects == []
        assert await bench.spawn(bench.seam.call("coordinator", "open", bench.server.open, 1)) == 2
        bench.node.mend("store")
        assert await bench.spawn(bench.open()) == 2

    on_bench(test)


def test_a_cut_between_request_and_reply_loses_the_reply() -> None:
    async def test(bench: Bench) -> None:
        task = bench.spawn(bench.open())
        await bench.server.reached.wait()
        bench.node.cut("store")
        with pytest.raises(Unavailable):
            await task

    on_bench(test, Weather(latency=(0.01, 0.02)))


def test_a_paused_node_gets_its_reply_and_its_wakeups_only_on_resume() -> None:
    async def test(bench: Bench) -> None:
        woken: list[float] = []

        async def sleeper() -> None:
            await bench.node.clock.sleep(2)
            woken.append(running_loop().time())

        task = bench.spawn(bench.open())
        bench.spawn(sleeper())
        await anyio.sleep(0.001)
        started = running_loop().time()
        bench.node.pause(30)
        await anyio.sleep(29)
        assert len(bench.server.effects) == 1, "what was sent takes effect all the same"
        assert not task.done()
        assert woken == []
        assert await task == 2
        await anyio.sleep(0.001)
        assert woken == [pytest.approx(started + 30)]

    on_bench(test)


def test_nothing_of_a_crashed_node_is_sent_or_returns() -> None:
    async def test(bench: Bench) -> None:
        cleaned: list[str] = []

        async def work() -> None:
            try:
                await bench.open()
                await bench.open()
            finally:
                cleaned.append("cleaned")

        task = bench.spawn(work())
        await bench.server.reached.wait()
        bench.node.crash()
        await anyio.sleep(100)
        assert len(bench.server.effects) == 1
        assert not task.done()
        assert cleaned == []

    on_bench(test)


def test_a_request_under_way_when_its_node_crashes_may_or_may_not_take_effect() -> None:
    async def attempt(bench: Bench) -> int:
        bench.spawn(bench.open())
        await anyio.sleep(0.001)
        bench.node.crash()
        await anyio.sleep(100)
        return len(bench.server.effects)

    assert {on_bench(attempt, Weather(latency=(1, 2)), seed) for seed in range(10)} == {0, 1}


@pytest.mark.parametrize(("when", "effects"), [("before", 1), ("during", 2), ("after", 2)])
def test_a_node_crashes_at_a_named_step(when: Any, effects: int) -> None:
    async def test(bench: Bench) -> None:
        bench.node.mishaps.append(Mishap("store.open", when, nth=2))
        crashes: list[str] = []
        bench.node.on_crash = lambda: crashes.append("crash")

        async def work() -> None:
            for number in range(5):
                await bench.open(number)

        task = bench.spawn(work())
        await anyio.sleep(100)
        assert len(bench.server.effects) == effects
        assert crashes == ["crash"]
        assert not task.done()

    on_bench(test)


def test_a_node_pauses_between_its_decision_and_its_request() -> None:
    async def test(bench: Bench) -> None:
        bench.node.mishaps.append(Mishap("store.open", "before", nth=1, pause=30))
        started = running_loop().time()
        assert await bench.spawn(bench.open()) == 2
        assert bench.seen.calls[0].sent_at == started
        assert bench.server.effects[0] >= started + 30

    on_bench(test)


def test_a_request_can_lie_in_a_buffer_while_its_node_is_stopped() -> None:
    async def test(bench: Bench) -> None:
        bench.node.trap("store.open", "during", pause=20, delay=50)
        started = running_loop().time()
        task = bench.spawn(bench.open())
        with pytest.raises(Unavailable):
            await task
        assert running_loop().time() == pytest.approx(started + 20)
        await anyio.sleep(40)
        assert bench.server.effects == [pytest.approx(started + 50, abs=0.1)]

    on_bench(test)


def test_a_cancelled_call_may_still_take_effect_and_a_cancelled_wait_does_not_go_on() -> None:
    async def test(bench: Bench) -> None:
        async def work() -> None:
            with anyio.move_on_after(0.001):
                await bench.open()
            with anyio.move_on_after(1):
                await bench.seam.call("store", "wait_outbox", bench.server.wait_outbox, 50)

        await bench.spawn(work())
        await anyio.sleep(1)
        assert len(bench.server.effects) == 1
        assert not [task for task in asyncio.all_tasks() if task.get_name() == "store.wait_outbox"]

    on_bench(test, Weather(latency=(0.01, 0.02)))


def test_nothing_goes_out_once_the_simulation_is_over() -> None:
    async def test(bench: Bench) -> None:
        bench.network.closed = True
        with pytest.raises(Unavailable):
            await bench.spawn(bench.open())

    on_bench(test)


def test_the_same_seed_draws_the_same_fates() -> None:
    async def storm(bench: Bench) -> list[tuple[float, str]]:
        async def work() -> list[tuple[float, str]]:
            seen = []
            for number in range(50):
                try:
                    outcome = str(await bench.open(number))
                except Unavailable:
                    outcome = "unavailable"
                seen.append((running_loop().time(), outcome))
            return seen

        return await bench.spawn(work())

    weather = Weather(lost_request=0.1, lost_reply=0.1, duplicate=0.1, slow=0.1)
    assert on_bench(storm, weather, 7) == on_bench(storm, weather, 7)
    assert on_bench(storm, weather, 7) != on_bench(storm, weather, 8)


# ---- consumers ---------------------------------------------------------------------------------------------------


class Queue:
    """A broker with one queue that delivers again what a closed consumer did not ack."""

    def __init__(self) -> None:
        self.messages = [Delivery(tag, b"", None) for tag in range(3)]
        self.open = 0

    @asynccontextmanager
    async def consume(self, partition: Partition, owner: str) -> AsyncIterator[Consumer]:
        self.open += 1
        consumer = QueueConsumer(self)
        try:
            yield consumer
        finally:
            consumer.closed.set()
            self.open -= 1


class QueueConsumer:
    def __init__(self, queue: Queue) -> None:
        self.queue = queue
        self.closed = anyio.Event()
        self.given = 0

    async def receive(self, limit: int) -> Sequence[Delivery]:
        while self.given >= len(self.queue.messages):
            await self.closed.wait()
            raise ConsumerClosed("closed")
        self.given += 1
        return [self.queue.messages[self.given - 1]]

    async def ack(self, delivery: Delivery, receipt: Receipt) -> None:
        if self.closed.is_set():
            raise ConsumerClosed("closed")
        self.queue.messages.remove(delivery)
        self.given -= 1

    async def delay(self, delivery: Delivery, seconds: float) -> None:
        raise NotImplementedError


def consuming(
    bench: Bench, queue: Queue, work: Callable[[Consumer], Coroutine[Any, Any, None]]
) -> Coroutine[Any, Any, None]:
    nothing = cast(Any, None)
    planes = Planes(cast(Broker, queue), nothing, nothing, nothing, nothing)
    broker = remote_planes(bench.node, planes).broker

    async def consume() -> None:
        async with broker.consume(Partition("t", 0), "me") as consumer:
            await work(consumer)

    return consume()


def test_a_consumer_receives_and_acks_and_leaves() -> None:
    async def test(bench: Bench) -> None:
        queue = Queue()

        async def work(consumer: Consumer) -> None:
            for _ in range(3):
                (delivery,) = await consumer.receive(1)
                await consumer.ack(delivery, Receipt("", ""))

        await bench.spawn(consuming(bench, queue, work))
        await anyio.sleep(1)
        assert queue.messages == []
        assert queue.open == 0

    on_bench(test)


def test_a_cancelled_receive_loses_no_delivery() -> None:
    async def test(bench: Bench) -> None:
        tags: list[int] = []

        async def work(consumer: Consumer) -> None:
            while len(tags) < 3:
                with anyio.move_on_after(0.013):
                    tags.extend([delivery.tag for delivery in await consumer.receive(1)])

        await bench.spawn(consuming(bench, Queue(), work))
        assert tags == [0, 1, 2]

    bench_weather = Weather(latency=(0.005, 0.010))
    for seed in range(5):

        async def in_weather(bench: Bench) -> None:
            bench.network.weather["broker"] = bench_weather
            await test(bench)

        on_bench(in_weather, seed=seed)


def test_a_lost_ack_closes_the_consumer_for_good() -> None:
    async def test(bench: Bench) -> None:
        queue = Queue()

        async def work(consumer: Consumer) -> None:
            (delivery,) = await consumer.receive(1)
            bench.network.weather["broker"] = Weather(lost_request=1)
            for _ in range(2):
                with pytest.raises(ConsumerClosed):
                    await consumer.ack(delivery, Receipt("", ""))
            with pytest.raises(ConsumerClosed):
                await consumer.receive(1)

        await bench.spawn(consuming(bench, queue, work))
        await anyio.sleep(1)
        assert queue.open == 0
        assert len(queue.messages) == 3

    on_bench(test)


@pytest.mark.parametrize("trouble", [lambda node: node.cut("broker"), lambda node: node.crash()])
def test_the_broker_notices_in_the_end_that_a_node_is_gone(trouble: Callable[[Node], None]) -> None:
    async def test(bench: Bench) -> None:
        queue, closed = Queue(), list[str]()

        async def work(consumer: Consumer) -> None:
            try:
                while True:
                    await consumer.receive(1)
            except ConsumerClosed:
                closed.append("closed")

        bench.spawn(consuming(bench, queue, work))
        await anyio.sleep(1)
        assert queue.open == 1
        trouble(bench.node)
        await anyio.sleep(100)
        assert queue.open == 0
        assert closed == ([] if bench.node.crashed else ["closed"])

    on_bench(test)
