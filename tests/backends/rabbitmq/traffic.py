"""What the tests of this backend send and receive."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from jobkit.errors import ConfigurationError, Unavailable
from jobkit.model.envelope import Envelope
from jobkit.model.fence import Receipt
from jobkit.model.partition import Partition
from jobkit.ports.broker import Broker, Consumer, Delivery, Published, Rejected

FIRST, SECOND = Partition("t", 0), Partition("t", 1)
# Stands in for what only a store makes.
PROOF = Receipt("id", "committed")
PATIENCE_SECONDS = 30.0


def envelope(id: str, *, type: str = "t", body: bytes = b"{}") -> Envelope:
    return Envelope(id=id, type=type, key="k", body=body, submitted_at=1_690_000_000.5)


async def publish(broker: Broker, *ids: str, partition: Partition = FIRST, timeout: float = 15.0) -> None:
    """Publish messages; raise `Unavailable` where one is not in, or `ConfigurationError` where it never can be."""
    messages = [(partition, envelope(id, type=partition.type)) for id in ids]
    for answer in await broker.publish(messages, timeout=timeout):
        if isinstance(answer, Rejected):
            raise ConfigurationError(answer.reason)
        if not isinstance(answer, Published):
            raise Unavailable("broker", answer.reason)


async def received(consumer: Consumer, count: int) -> list[Delivery]:
    """Receive exactly `count` deliveries."""
    deliveries: list[Delivery] = []
    async with asyncio.timeout(PATIENCE_SECONDS):
        while len(deliveries) < count:
            deliveries += await consumer.receive(count - len(deliveries))
    return deliveries


def ids(deliveries: Sequence[Delivery]) -> list[str]:
    return [delivery.envelope.id for delivery in deliveries if delivery.envelope]


async def ready(broker: Broker, partition: Partition = FIRST) -> int:
    """Return how much waits in a partition."""
    return {depth.partition: depth.ready for depth in await broker.depths()}[partition]


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Look again and again until something holds."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            if await condition():
                return
            await asyncio.sleep(0.02)


@asynccontextmanager
async def consuming(broker: Broker, partition: Partition = FIRST) -> AsyncIterator[Consumer]:
    """Open a consumer as a worker does, again and again while the server cannot be reached."""
    async with AsyncExitStack() as stack, asyncio.timeout(PATIENCE_SECONDS) as patience:
        while True:
            try:
                consumer = await stack.enter_async_context(broker.consume(partition, "me"))
            except Unavailable:
                await asyncio.sleep(0.05)
            else:
                break
        patience.reschedule(None)
        yield consumer


async def publish_somehow(broker: Broker, *ids: str) -> None:
    """Publish as a relay does, the same again and again while it is unknown whether it is in."""

    async def published() -> bool:
        try:
            await publish(broker, *ids)
        except Unavailable:
            return False
        return True

    await until(published)
