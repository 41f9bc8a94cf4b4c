"""Delayed messages: each comes again once, no sooner than asked."""

from __future__ import annotations

import asyncio
import time

import pytest

from jobkit.ports.broker import Broker, QueueDepth
from jobkit.testing.conformance.broker.traffic import FIRST, SECOND, depth, ids, publish, received
from jobkit.testing.conformance.harness import BrokerHarness, soon
from jobkit.testing.conformance.values import PROOF


@pytest.fixture(autouse=True)
async def queues(broker: Broker) -> None:
    await broker.declare("t", 2)


async def test_a_delayed_message_comes_again_no_sooner_than_asked(
    broker: Broker, broker_harness: BrokerHarness[Broker]
) -> None:
    ttl = broker_harness.ttl
    await publish(broker, "a", "b")
    async with broker.consume(FIRST, "me") as consumer:
        a, _ = await received(consumer, 2)
        await consumer.delay(a, ttl)
        waiting = asyncio.create_task(received(consumer, 1))
        await broker_harness.elapse(ttl * 0.8)
        assert not waiting.done()
        await broker_harness.elapse(ttl * 0.3)
        (again,) = await soon(waiting)
        assert again.envelope == a.envelope
        assert again.redelivered
        await consumer.ack(again, PROOF)
        assert (await depth(broker)).ready == 1


async def test_a_message_may_be_delayed_again_and_again(broker: Broker, broker_harness: BrokerHarness[Broker]) -> None:
    ttl = broker_harness.ttl
    await publish(broker, "a")
    async with broker.consume(FIRST, "me") as consumer:
        for _ in range(3):
            (a,) = await received(consumer, 1)
            await consumer.delay(a, ttl)
            await broker_harness.elapse(ttl * 1.01)
        (a,) = await received(consumer, 1)
        await consumer.ack(a, PROOF)
    assert (await depth(broker)).ready == 0


async def test_a_delayed_message_that_came_again_comes_once(
    broker: Broker, broker_harness: BrokerHarness[Broker]
) -> None:
    await publish(broker, "a")
    async with broker.consume(FIRST, "me") as consumer:
        (a,) = await received(consumer, 1)
        await consumer.delay(a, broker_harness.ttl)
        await broker_harness.elapse(broker_harness.ttl * 1.01)
        (a,) = await received(consumer, 1)
        await publish(broker, "b")
        assert ids(await received(consumer, 1)) == ["b"]
        await consumer.ack(a, PROOF)
        assert (await depth(broker)).ready == 1


async def test_what_is_delayed_outlives_its_consumer(broker: Broker, broker_harness: BrokerHarness[Broker]) -> None:
    ttl = broker_harness.ttl
    await publish(broker, "a", "b")
    async with broker.consume(FIRST, "me") as consumer:
        a, b = await received(consumer, 2)
        delayed_at = time.monotonic()
        await consumer.delay(a, ttl)
        await consumer.ack(b, PROOF)
    async with broker_harness.process() as other, other.consume(FIRST, "next") as consumer:
        waiting = asyncio.create_task(received(consumer, 1))
        await broker_harness.elapse(ttl * 0.8)
        # Where the time is the machine's own, all of it may have passed by now.
        assert not waiting.done() or time.monotonic() - delayed_at >= ttl
        await broker_harness.elapse(ttl * 0.3)
        assert ids(await soon(waiting)) == ["a"]


async def test_a_delayed_message_is_not_starved_by_new_ones(
    broker: Broker, broker_harness: BrokerHarness[Broker]
) -> None:
    ttl = broker_harness.ttl
    await publish(broker, "a")
    async with broker.consume(FIRST, "me") as consumer:
        (a,) = await received(consumer, 1)
        await consumer.delay(a, ttl)
        await broker_harness.elapse(ttl * 1.01)
        await publish(broker, *(f"new {number}" for number in range(20)))
        assert "a" in ids(await received(consumer, 10))


async def test_depths_count_what_is_not_acked_and_name_the_consumer(
    broker: Broker, broker_harness: BrokerHarness[Broker]
) -> None:
    ttl = broker_harness.ttl
    await publish(broker, *"abc")
    assert await broker.depths() == [QueueDepth(FIRST, 3, 0, None), QueueDepth(SECOND, 0, 0, None)]
    async with broker.consume(FIRST, "me") as consumer:
        a, b, _ = await received(consumer, 3)
        await consumer.ack(a, PROOF)
        await consumer.delay(b, ttl)
        assert await depth(broker) == QueueDepth(FIRST, 2, 1, "me")
        await broker_harness.elapse(ttl * 1.01)
        assert (await depth(broker)).delayed == 0
    assert await depth(broker) == QueueDepth(FIRST, 2, 0, None)
