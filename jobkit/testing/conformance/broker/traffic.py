"""What the broker's tests send, receive and count, in two partitions."""

from __future__ import annotations

from jobkit.model.partition import Partition
from jobkit.ports.broker import Broker, Consumer, Delivery, QueueDepth
from jobkit.testing.conformance.harness import soon
from jobkit.testing.conformance.values import envelope

FIRST, SECOND = Partition("t", 0), Partition("t", 1)


async def publish(broker: Broker, *ids: str, partition: Partition = FIRST) -> None:
    """Publish envelopes of these ids."""
    await broker.publish([(partition, envelope(id)) for id in ids])


async def received(consumer: Consumer, count: int) -> list[Delivery]:
    """Receive exactly `count` deliveries."""
    deliveries: list[Delivery] = []
    while len(deliveries) < count:
        deliveries += await soon(consumer.receive(count - len(deliveries)))
    return deliveries


def ids(deliveries: list[Delivery]) -> list[str]:
    """Return the ids of these deliveries."""
    return [delivery.envelope.id for delivery in deliveries if delivery.envelope]


async def depth(broker: Broker, partition: Partition = FIRST) -> QueueDepth:
    """Return how much is in a queue."""
    return {depth.partition: depth for depth in await broker.depths()}[partition]
