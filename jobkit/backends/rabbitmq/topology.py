"""What jobkit wants to exist on the server, as plain declarations; docs/rabbitmq.md explains it to other publishers.

Nothing here talks to a server. Names are part of the contract with foreign publishers, and arguments cannot be
changed once a queue exists: the server refuses to declare it in another way.

A job type may contain dots but no colon, so what is derived from a type or a partition follows a colon; no two types
can claim one name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from jobkit.model.partition import Partition
from jobkit.model.priority import BANDS, Priority

# How many messages a partition's consumer is given before they are acked. The same for every consumer there ever is:
# a queue puts what comes back behind what came back earlier, so a consumer that took fewer messages than the one
# before it, and died, would leave them in another order.
PREFETCH = 250

# Every power of two from a second to somewhat over a quarter of an hour. Expired messages leave a queue only from its
# head, so that each step needs a queue of its own. Longer delays go several rounds.
DELAY_STEPS = tuple(1 << exponent for exponent in range(11))

# Jobs that merely waited behind others are redelivered as often as workers come and go, so a limit in the broker would
# drop innocent ones (RabbitMQ 4 has a default of 20). The store counts the starts of each job, JOBKIT_MAX_OPENS.
_DELIVERY_LIMIT = 2**31 - 1


Argument = str | int | bool


@dataclass(frozen=True, slots=True)
class Queue:
    """A durable queue and the arguments that it is declared with."""

    name: str
    arguments: Mapping[str, Argument]


@dataclass(frozen=True, slots=True)
class Binding:
    """What makes an exchange put messages with a routing key into a queue."""

    exchange: str
    key: str
    queue: str


@dataclass(frozen=True, slots=True)
class Topology:
    """What one job type needs: a durable direct exchange, queues, and bindings between the two.

    `marker` is an empty queue that tells whether the server knows the type. It is a quorum queue like the others,
    because nothing that is consumed may depend on a single node.
    """

    type: str
    partitions: int
    exchange: str
    marker: Queue
    queues: Sequence[Queue]
    bindings: Sequence[Binding] = field(default=())


# The directory of the job types there are, one message for each. Classic, because a quorum queue does not keep to one
# exclusive consumer; so it is away while its node is, and only what people look at, and new types, wait for that.
TYPES = Queue("jobkit:types", {"x-queue-type": "classic"})


def topology_of(type: str, partitions: int, *, bands: bool = False) -> Topology:
    """Return what a job type with so many partitions needs; with `bands`, one whose jobs have priorities."""
    dead = dead_letter_queue(type)
    numbered = [Partition(type, number) for number in range(partitions)]
    if bands:
        numbered += [partition.band(priority) for partition in numbered for priority in BANDS]
    return Topology(
        type=type,
        partitions=partitions,
        exchange=exchange(type),
        marker=Queue(marker_queue(type), {"x-queue-type": "quorum"}),
        queues=[Queue(dead, {"x-queue-type": "quorum"}), *(_partition_queue(one) for one in numbered)],
        bindings=[binding(one) for one in numbered],
    )


def binding(partition: Partition) -> Binding:
    """Return what has messages published for a partition, or its band, come into its queue."""
    number = str(partition.index)
    key = number if partition.priority is Priority.NORMAL else f"{number}.{partition.priority}"
    return Binding(exchange(partition.type), key, partition_queue(partition))


def delay_queues(partition: Partition) -> list[Queue]:
    """Return the queues in which messages of a partition wait; they are made once one of its jobs has to."""
    return [
        Queue(
            delay_queue(partition, step),
            {
                "x-queue-type": "quorum",
                "x-message-ttl": step * 1000,
                **_dead_lettering(partition_queue(partition)),
            },
        )
        for step in DELAY_STEPS
    ]


def delay_step(seconds: float) -> int:
    """Return for how many seconds to delay next what is to be delayed for so long: the last round may be longer."""
    return next((step for step in DELAY_STEPS if step >= seconds), DELAY_STEPS[-1])


def exchange(type: str) -> str:
    """Return the name of the exchange that a job type's messages may be published to."""
    return f"jobkit.{type}"


def partition_queue(partition: Partition) -> str:
    """Return the name of a partition's queue, or of its band's."""
    name = f"jobkit.{partition.type}.{partition.index}"
    return name if partition.priority is Priority.NORMAL else f"{name}:{partition.priority}"


def marker_queue(type: str) -> str:
    """Return the name of the queue that stays empty, and is there where the server knows the type."""
    return f"jobkit.{type}:partitions"


def dead_letter_queue(type: str) -> str:
    """Return the name of the queue for what the server itself takes out of a partition's queue."""
    return f"jobkit.{type}:dead"


def delay_queue(partition: Partition, step: int) -> str:
    """Return the name of the queue in which messages of a partition wait for `step` seconds."""
    return f"{partition_queue(partition)}:delay-{step}s"


def exclusive_queue(partition: Partition) -> str:
    """Return the name of the queue that only the partition's one consumer can have."""
    return f"{partition_queue(partition)}:exclusive"


def _partition_queue(partition: Partition) -> Queue:
    return Queue(
        partition_queue(partition),
        {
            "x-queue-type": "quorum",
            "x-single-active-consumer": True,
            "x-delivery-limit": _DELIVERY_LIMIT,
            **_dead_lettering(dead_letter_queue(partition.type)),
        },
    )


def _dead_lettering(queue: str) -> dict[str, Argument]:
    """Return the arguments that send dead letters to `queue`, at least once: kept until that queue has them."""
    return {
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": queue,
        "x-dead-letter-strategy": "at-least-once",
        # Without it the server falls back to at-most-once.
        "x-overflow": "reject-publish",
    }
