"""Barriers: who has received all that was in a queue knows it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from jobkit.errors import ConsumerClosed
from jobkit.ports.broker import Broker, Consumer, Delivery
from jobkit.testing.conformance.broker.traffic import FIRST, depth, ids, publish, received
from jobkit.testing.conformance.harness import PATIENCE_SECONDS, BrokerHarness, a_moment, soon
from jobkit.testing.conformance.values import PROOF


@asynccontextmanager
async def receiving(consumer: Consumer) -> AsyncIterator[list[Delivery]]:
    """Receive all the time, as a worker does; yield what came."""
    came: list[Delivery] = []

    async def forever() -> None:
        while True:
            came.extend(await consumer.receive(10))

    task = asyncio.create_task(forever())
    try:
        yield came
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def settled(broker: Broker, ready: int) -> None:
    """Wait until the queue counts as so long."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while (await depth(broker)).ready != ready:  # noqa: ASYNC110  (a broker tells nobody)
            await asyncio.sleep(0.02)


async def test_a_barrier_is_passed_once_all_before_it_was_received_and_more_is_asked_for(broker: Broker) -> None:
    await publish(broker, *"abc")
    async with broker.consume(FIRST, "me") as consumer:
        barrier = asyncio.create_task(consumer.barrier())
        assert ids(await received(consumer, 2)) == ["a", "b"]
        assert ids(await received(consumer, 1)) == ["c"]
        # That all was returned is not yet that the caller has taken it over.
        late = asyncio.create_task(consumer.barrier())
        for _ in range(3):
            await broker.depths()
            await a_moment()
        assert not barrier.done()
        assert not late.done()
        async with receiving(consumer) as came:
            await soon(asyncio.gather(barrier, late))
            assert came == []
            await publish(broker, "d")
            await soon(consumer.barrier())
            assert ids(came) == ["d"]


async def test_a_barrier_in_an_empty_queue_is_passed_at_once_and_is_no_message(broker: Broker) -> None:
    async with broker.consume(FIRST, "me") as consumer, receiving(consumer) as came:
        for _ in range(3):
            await soon(consumer.barrier())
        assert came == []
        await settled(broker, 0)


async def test_many_wait_for_barriers_at_once(broker: Broker) -> None:
    await publish(broker, *"abc")
    async with broker.consume(FIRST, "me") as consumer:
        barriers = [asyncio.create_task(consumer.barrier()) for _ in range(5)]
        async with receiving(consumer) as came:
            await soon(asyncio.gather(*barriers))
            assert ids(came) == ["a", "b", "c"]


async def test_what_is_not_acked_and_comes_again_stands_before_the_barrier(
    broker: Broker, broker_harness: BrokerHarness[Broker]
) -> None:
    await publish(broker, *"abc")
    async with broker_harness.process() as first, first.consume(FIRST, "first") as consumer:
        await received(consumer, 2)
    async with broker.consume(FIRST, "second") as consumer, receiving(consumer) as came:
        await soon(consumer.barrier())
        assert ids(came) == ["a", "b", "c"]


async def test_a_barrier_that_nobody_waits_for_any_more_is_no_message(
    broker: Broker, broker_harness: BrokerHarness[Broker]
) -> None:
    await publish(broker, "a")
    async with broker_harness.process() as first, first.consume(FIRST, "first") as consumer:
        waiting = asyncio.create_task(consumer.barrier())
        await settled(first, 1)
        # It is in the queue by then, if it is a message.
        await publish(first, "b")
    with pytest.raises(ConsumerClosed):
        await soon(waiting)
    async with broker.consume(FIRST, "second") as consumer, receiving(consumer) as came:
        await soon(consumer.barrier())
        assert ids(came) == ["a", "b"]
        for delivery in came:
            await consumer.ack(delivery, PROOF)
        await settled(broker, 0)


async def test_depths_do_not_count_barriers(broker: Broker, broker_harness: BrokerHarness[Broker]) -> None:
    await publish(broker, "a")
    async with broker_harness.process() as other, broker.consume(FIRST, "me") as consumer:
        (a,) = await received(consumer, 1)
        waiting = asyncio.create_task(consumer.barrier())
        await publish(broker, "b")
        for one in (broker, other):
            await settled(one, 2)
        async with receiving(consumer) as came:
            await soon(waiting)
            await soon(consumer.barrier())
            for delivery in (a, *came):
                await consumer.ack(delivery, PROOF)
            for one in (broker, other):
                await settled(one, 0)


async def test_a_barrier_ends_with_its_consumer(broker: Broker, broker_harness: BrokerHarness[Broker]) -> None:
    await publish(broker, "a")
    async with broker_harness.process() as other, broker.consume(FIRST, "old") as old:
        waiting = asyncio.create_task(old.barrier())
        await settled(broker, 1)
        async with other.consume(FIRST, "new"):
            with pytest.raises(ConsumerClosed):
                await soon(old.receive(1))
    with pytest.raises(ConsumerClosed):
        await soon(waiting)
    with pytest.raises(ConsumerClosed):
        await old.barrier()
