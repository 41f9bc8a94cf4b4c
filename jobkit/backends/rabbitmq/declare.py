"""Making what topology.py describes, as often as one likes: what is there is checked, what is not is made.

It does not take anything away. Requests are sent without waiting for each other's answer, so that a slow network costs
two round trips and not one for each queue; of that aio-pika knows nothing, and it is aiormq that sends these.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from aio_pika.abc import AbstractQueue
from aio_pika.exceptions import ChannelClosed, ChannelNotFoundEntity, ChannelPreconditionFailed
from pamqp.common import FieldValue

from jobkit.backends.rabbitmq.connection import Channel, Link
from jobkit.backends.rabbitmq.faults import refused
from jobkit.backends.rabbitmq.topology import Queue, Topology
from jobkit.errors import PartitionsDiffer

_OTHER_COUNT = re.compile(r"'x-max-length' .*received '(\d+)' but current is '(\d+)'", re.DOTALL)


async def make(link: Link, topology: Topology, *, only_again: bool = False) -> bool:
    """Make what a job type needs; with `only_again` do nothing and return False where the type is new here.

    Raises `ConfigurationError` where it exists with another number of partitions or in another way, or the server
    does not allow it, and `Unavailable`.
    """
    try:
        async with link.channel() as channel:
            if only_again:
                await _settle(channel, topology.marker)
            await declare_queue(channel, topology.marker)
            await channel.call(
                channel.raw.exchange_declare(topology.exchange, exchange_type="direct", durable=True, nowait=True),
                f"declaring {topology.exchange}",
            )
            await _declare_all(channel, topology.queues)
            for binding in topology.bindings:
                await channel.call(
                    channel.raw.queue_bind(binding.queue, binding.exchange, binding.key, nowait=True),
                    f"binding {binding.queue}",
                )
            await _settle(channel, topology.queues[-1])
    except ChannelNotFoundEntity as error:
        if not only_again:
            raise refused(link, error) from error
        return False
    except ChannelPreconditionFailed as error:
        found = _OTHER_COUNT.search(str(error))
        if found is None:
            raise refused(link, error) from error
        raise other_count(topology.type, int(found[2]), topology.partitions) from error
    except ChannelClosed as error:
        raise refused(link, error) from error
    return True


async def make_queues(link: Link, queues: Sequence[Queue]) -> None:
    """Make queues; errors as for `make`."""
    try:
        async with link.channel() as channel:
            await _declare_all(channel, queues)
            await _settle(channel, queues[-1])
    except ChannelClosed as error:
        raise refused(link, error) from error


def other_count(type: str, there: int, wanted: int) -> PartitionsDiffer:
    """Return the error of a type that was declared with another number of partitions."""
    return PartitionsDiffer(
        f"job type {type!r} has {there} partitions, not {wanted}: set JOBKIT_PARTITIONS={there}; changing the number "
        "would change the queue of its keys, so it needs every queue of the type drained first (docs/rabbitmq.md "
        "says how)"
    )


async def declare_queue(channel: Channel, queue: Queue) -> AbstractQueue:
    """Make a queue, or have the server compare it with the one there is, and return it.

    Raises `ChannelClosed` or `Unavailable`.
    """
    arguments: dict[str, FieldValue] = dict(queue.arguments)
    declaring = channel.pika.declare_queue(queue.name, durable=True, arguments=arguments)
    return await channel.call(declaring, f"declaring {queue.name}")


async def _declare_all(channel: Channel, queues: Sequence[Queue]) -> None:
    for queue in queues:
        arguments: dict[str, FieldValue] = dict(queue.arguments)
        await channel.call(
            channel.raw.queue_declare(queue.name, durable=True, arguments=arguments, nowait=True),
            f"declaring {queue.name}",
        )


async def _settle(channel: Channel, queue: Queue) -> None:
    """Wait until everything sent so far has taken effect, or was refused; or be refused where the queue is missing."""
    await channel.call(channel.pika.get_queue(queue.name), f"looking for {queue.name}")
