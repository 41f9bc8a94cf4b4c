"""The broker plane: which job next? At-least-once delivery, in order within a partition.

It does not promise that a job runs once, nor that a delivery is still owed when it arrives: a delivery is a
wake-up, and the store decides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from jobkit.model.envelope import NOTHING_READ, Envelope, Heading
from jobkit.model.fence import Receipt
from jobkit.model.partition import Partition


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message handed to a consumer.

    `tag` means something only to the consumer that delivered it. `envelope` is None where not even that could
    be made of the message; then `problem` says why, `raw` is what came, and `heading` what could be read of it.
    """

    tag: int
    raw: bytes
    envelope: Envelope | None
    problem: str = ""
    redelivered: bool = False
    heading: Heading = NOTHING_READ


@dataclass(frozen=True, slots=True)
class QueueDepth:
    """How much waits in one partition: `ready` counts all messages not yet acked, `delayed` those of them due later."""

    partition: Partition
    ready: int
    delayed: int
    consumer: str | None


class Consumer(Protocol):
    """The one live consumer of one partition.

    Every method raises `ConsumerClosed` once another consumer took the queue over or the connection ended, and
    then for ever; what was not acked by then is delivered again, in its original order, to the next consumer.
    """

    async def receive(self, limit: int) -> Sequence[Delivery]:
        """Wait for messages and return 1 to `limit` of them in queue order, each once in this consumer's life."""
        ...

    async def ack(self, delivery: Delivery, receipt: Receipt) -> None:
        """Delete the message: `receipt` proves that the store knows the outcome.

        An error leaves it unknown whether the message is gone; a redelivery then finds the store's answer.
        """
        ...

    async def delay(self, delivery: Delivery, seconds: float) -> None:
        """Put the message back so that it is delivered again no sooner than `seconds` from now.

        It loses its place in the queue: only for jobs without an order.
        """
        ...


class Broker(Protocol):
    """A place where messages wait. Every method may raise `Unavailable`."""

    async def declare(self, type: str, partitions: int) -> None:
        """Make the queues of `type`, or check those there are.

        Raises `ConfigurationError` where they were made with another number of partitions.
        """
        ...

    async def publish(self, messages: Sequence[tuple[Partition, Envelope]]) -> None:
        """Hand messages over in this order; return when all are safely in their queues.

        Raises `ConfigurationError` where a queue does not exist. After `Unavailable`, some may be in: publish the
        same again, the store drops what is there twice.
        """
        ...

    def consume(self, partition: Partition, owner: str) -> AbstractAsyncContextManager[Consumer]:
        """Open the partition's consumer, which ends any other one's; leaving returns what was not acked."""
        ...

    async def depths(self) -> Sequence[QueueDepth]:
        """Return the depth of every declared partition."""
        ...

    async def dropped(self) -> Mapping[str, int]:
        """Return how many messages of each type the broker itself took out of its queues and still keeps elsewhere."""
        ...

    async def aclose(self) -> None:
        """Let go of connections; every open consumer ends."""
        ...
