"""A consumer at the other end of the simulated network: trouble closes it, and loses no delivery."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

import anyio
import pytest

from jobkit.errors import ConsumerClosed
from jobkit.model.fence import Receipt
from jobkit.model.partition import Partition
from jobkit.ports.broker import Broker, Consumer, Delivery
from jobkit.ports.planes import Planes
from simulation.bench import Bench, on_bench
from simulation.network import Node, Weather
from simulation.remote import remote_planes


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
