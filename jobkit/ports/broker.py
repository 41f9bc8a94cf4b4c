"""The broker plane: which job next? At-least-once delivery, in order within a partition.

It does not promise that a job runs once, nor that a delivery is still owed when it arrives: a delivery is a
wake-up, and the store decides.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol

from jobkit.model.envelope import NOTHING_READ, Envelope, Heading
from jobkit.model.fence import Receipt
from jobkit.model.partition import Partition
from jobkit.model.priority import Priority

# How long a broker is given to confirm, unless the caller says otherwise.
CONFIRM_SECONDS = 15.0


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
    """How much waits in one partition: `ready` counts all messages not yet acked, `delayed` those of them due later.

    A broker's own messages, such as those of `Consumer.barrier`, are not counted as far as they are known. Where the
    partition has bands they are part of it, and `bands` says how many of `ready` are in each, the normal one included.
    """

    partition: Partition
    ready: int
    delayed: int
    consumer: str | None
    bands: Mapping[Priority, int] = field(default_factory=dict)


def whole_depths(queues: Iterable[QueueDepth]) -> list[QueueDepth]:
    """Return the depth of each partition, made of those of its queues, in their order."""
    found: dict[Partition, list[QueueDepth]] = {}
    for queue in queues:
        found.setdefault(queue.partition.whole, []).append(queue)
    return [_together(partition, its) for partition, its in found.items()]


def _together(partition: Partition, queues: Sequence[QueueDepth]) -> QueueDepth:
    if len(queues) == 1:
        return queues[0]
    return QueueDepth(
        partition,
        sum(queue.ready for queue in queues),
        sum(queue.delayed for queue in queues),
        next((queue.consumer for queue in queues if queue.partition == partition), None),
        {queue.partition.priority: queue.ready for queue in queues},
    )


@dataclass(frozen=True, slots=True)
class Published:
    """The message is safely in its queue."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """The broker can never take the message, whenever it is asked: it is too large, for instance."""

    reason: str


@dataclass(frozen=True, slots=True)
class Deferred:
    """The message is not known to be in, for now: its queue is missing or takes nothing, or one before it is not in.

    `reason` says which; publish it again later.
    """

    reason: str


@dataclass(frozen=True, slots=True)
class InDoubt:
    """No confirm came in time: the message may be in its queue. Publish it again."""

    reason: str


Answer = Published | Rejected | Deferred | InDoubt


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

    async def barrier(self) -> None:
        """Return once all that is in the queue now was returned by `receive`, and `receive` is called again.

        What `delay` put away is not in the queue. This takes as long as the queue is, and for ever where the broker
        loses what is in it: so ask again, while the first call goes on. What a broker puts into its queues for this,
        `receive` never returns. Raises `Unavailable` where the broker could not be asked.
        """
        ...


class Broker(Protocol):
    """A place where messages wait. Every method may raise `Unavailable`.

    A partition's bands are queues of their own, which are made for a declared type once something is published to one
    of them, or consumes it: who uses no priorities has none. A message has the priority of the band that it is in.
    """

    async def declare(self, type: str, partitions: int) -> None:
        """Make the first `partitions` queues of `type`, or check those there are.

        What was made once and is gone is made again. Queues beyond are left alone. Raises `ConfigurationError` where
        one was made in another way.
        """
        ...

    async def restore(self, type: str, partitions: int) -> None:
        """Make again what is gone of a declared type, also what only people look at. Errors as for `declare`.

        For one process, now and then: it may take a while.
        """
        ...

    async def remove(self, partition: Partition) -> bool:
        """Remove the queue of a partition that there is to be no more, if nothing is in it; tell whether it is gone.

        Only once nobody consumes it. Errors as for `declare`.
        """
        ...

    @property
    def max_body_bytes(self) -> int:
        """The size in bytes of the largest payload that the broker is known to take."""
        ...

    def objection(self, envelope: Envelope) -> str | None:
        """Return why the broker can never take this message, or None. A guess that asks nobody: publishing tells."""
        ...

    async def publish(
        self, messages: Sequence[tuple[Partition, Envelope]], *, timeout: float = CONFIRM_SECONDS
    ) -> Sequence[Answer]:
        """Hand messages over in this order; return one answer for each, within about `timeout` seconds.

        What one message or queue meets is no other queue's trouble. Within a partition nothing counts as published
        that comes behind a message which is deferred or in doubt: it may be in, and is to be published again behind it.
        Raises `Unavailable` where the broker could not be reached: then nothing was handed over.
        """
        ...

    async def rebuild(self, partition: Partition, covered: Callable[[], Awaitable[bool]]) -> bool:
        """Make the partition's queue anew where it takes messages and confirms none, if nothing is lost by it.

        Only for who leads the partition. `covered` tells whether every message that may be in the queue would be
        published again. Return whether it was done. Raises `Unavailable` or `ConfigurationError`.
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
