"""Bands: the queues that a partition has for jobs of a priority, made once somebody uses them."""

from __future__ import annotations

import pytest

from jobkit.errors import ConfigurationError
from jobkit.model.partition import Partition
from jobkit.model.priority import Priority
from jobkit.ports.broker import Broker, Deferred, Published
from jobkit.testing.conformance.broker.test_barrier import receiving
from jobkit.testing.conformance.broker.traffic import received
from jobkit.testing.conformance.harness import BrokerHarness, soon
from jobkit.testing.conformance.values import PROOF, envelope

WHOLE = Partition("t", 0)
HIGH, LOW = WHOLE.band(Priority.HIGH), WHOLE.band(Priority.LOW)


@pytest.fixture(autouse=True)
async def queues(broker: Broker) -> None:
    await broker.declare("t", 2)


async def fill(broker: Broker, *ids: str, band: Partition = WHOLE) -> None:
    messages = [(band, envelope(id).with_priority(band.priority)) for id in ids]
    answers = await broker.publish(messages)
    assert [type(answer) for answer in answers] == [Published] * len(ids)


async def test_bands_are_made_by_whoever_publishes_first_and_each_keeps_its_own_order(broker: Broker) -> None:
    jobs = [(WHOLE, "n1"), (HIGH, "h1"), (LOW, "l1"), (HIGH, "h2"), (WHOLE, "n2"), (LOW, "l2")]
    answers = await broker.publish([(band, envelope(id).with_priority(band.priority)) for band, id in jobs])
    assert [type(answer) for answer in answers] == [Published] * 6
    for band, expected in ((HIGH, ["h1", "h2"]), (LOW, ["l1", "l2"]), (WHOLE, ["n1", "n2"])):
        async with broker.consume(band, "me") as consumer:
            found = [one.envelope for one in await received(consumer, 2)]
        assert [one.id for one in found if one is not None] == expected
        assert {one.priority for one in found if one is not None} == {band.priority}


async def test_bands_are_made_by_whoever_consumes_first(broker: Broker) -> None:
    async with broker.consume(HIGH, "me") as consumer:
        await fill(broker, "h", band=HIGH)
        (delivery,) = await soon(consumer.receive(10))
        await consumer.ack(delivery, PROOF)


async def test_who_uses_no_band_has_none(broker: Broker) -> None:
    await fill(broker, "n")
    assert [depth.bands for depth in await broker.depths()] == [{}, {}]


async def test_a_partition_is_as_deep_as_its_bands_together_and_each_is_told(broker: Broker) -> None:
    await fill(broker, "n1", "n2")
    await fill(broker, "h", band=HIGH)
    first, second = await broker.depths()
    assert (first.partition, first.ready) == (WHOLE, 3)
    assert {band: ready for band, ready in first.bands.items() if ready} == {Priority.HIGH: 1, Priority.NORMAL: 2}
    assert (second.partition, second.ready) == (Partition("t", 1), 0)
    async with broker.consume(WHOLE, "normal's"), broker.consume(HIGH, "high's"):
        assert [depth.consumer for depth in await broker.depths()] == ["normal's", None]


async def test_what_a_band_delays_comes_back_to_it(broker: Broker, broker_harness: BrokerHarness[Broker]) -> None:
    await fill(broker, "h", band=HIGH)
    async with broker.consume(HIGH, "me") as consumer:
        (delivery,) = await received(consumer, 1)
        await consumer.delay(delivery, broker_harness.ttl)
        await broker_harness.elapse(broker_harness.ttl * 1.01)
        (again,) = await received(consumer, 1)
        assert again.redelivered
        assert again.envelope is not None
        assert (again.envelope.id, again.envelope.priority) == ("h", Priority.HIGH)


async def test_a_barrier_goes_through_one_band_alone(broker: Broker) -> None:
    await fill(broker, "n")
    async with broker.consume(HIGH, "me") as consumer, receiving(consumer):
        await soon(consumer.barrier())


async def test_there_are_no_bands_of_what_was_never_declared(broker: Broker) -> None:
    band = Partition("nosuch", 0, Priority.HIGH)
    (answer,) = await broker.publish([(band, envelope("h", type="nosuch"))])
    assert isinstance(answer, Deferred)
    with pytest.raises(ConfigurationError, match="nosuch/0"):
        async with broker.consume(band, "me"):
            pass


async def test_a_partition_is_removed_with_its_bands_once_all_are_empty_and_they_can_be_made_again(
    broker: Broker,
) -> None:
    second = Partition("t", 1)
    high = second.band(Priority.HIGH)
    await fill(broker, "h1", band=high)
    assert not await broker.remove(second)
    assert [depth.ready for depth in await broker.depths()] == [0, 1]
    async with broker.consume(high, "me") as consumer:
        await fill(broker, "h2", band=high)
        first, last = await received(consumer, 2)
        await consumer.ack(first, PROOF)
        # What is due later is in it, too.
        await consumer.delay(last, 600)
    assert not await broker.remove(second)
    await broker.declare("t", 4)
    third = Partition("t", 3)
    await fill(broker, "h3", band=third.band(Priority.HIGH))
    async with broker.consume(third.band(Priority.HIGH), "me") as consumer:
        (delivery,) = await received(consumer, 1)
        await consumer.ack(delivery, PROOF)
    assert await broker.remove(third)
    await broker.declare("t", 3)
    assert [depth.partition.index for depth in await broker.depths()] == [0, 1, 2]
    await broker.declare("t", 4)
    await fill(broker, "h4", band=third.band(Priority.HIGH))
    assert [depth.ready for depth in await broker.depths()] == [0, 1, 0, 1]
