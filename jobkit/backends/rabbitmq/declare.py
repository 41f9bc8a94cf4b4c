"""Making what topology.py describes, as often as one likes: what is there is checked, what is not is made.

Only `remove` takes anything away. Requests are sent without waiting for each other's answer, so that a slow network
costs two round trips and not one for each queue; of that aio-pika knows nothing, and it is aiormq that sends these.
"""

from __future__ import annotations

from collections.abc import Sequence

from aio_pika.abc import AbstractQueue
from aio_pika.exceptions import ChannelClosed, ChannelNotFoundEntity
from pamqp.common import FieldValue

from jobkit.backends.rabbitmq.connection import Channel, Link
from jobkit.backends.rabbitmq.faults import refused
from jobkit.backends.rabbitmq.topology import Queue, Topology, binding, delay_queues, partition_queue
from jobkit.model.partition import Partition
from jobkit.model.priority import Priority


async def make(link: Link, topology: Topology, *, only_again: bool = False) -> bool:
    """Make what a job type needs; with `only_again` do nothing and return False where the type is new here.

    Raises `ConfigurationError` where it exists in another way, or the server does not allow it, and `Unavailable`.
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


async def remove(link: Link, partition: Partition, *, bands: bool) -> bool:
    """Take a partition's queues away, those of its `bands` too, unless something is in one; tell whether they are gone.

    Errors as for `make`. Quorum queues cannot be deleted only if they are empty, so it is looked before; what comes in
    between is published again by whoever leads the partition that its job belongs to.
    """
    parts = [partition.band(priority) for priority in Priority] if bands else [partition]
    delays = [queue.name for part in parts for queue in delay_queues(part)]
    queues = [partition_queue(part) for part in parts]
    try:
        async with link.channel() as channel:
            for part in parts:
                one = binding(part)
                await channel.call(channel.raw.queue_unbind(one.queue, one.exchange, one.key), "unbinding")
            for name in (*queues, *delays):
                try:
                    async with link.channel() as looking:
                        found = await looking.call(looking.pika.get_queue(name), f"looking at {name}")
                except ChannelNotFoundEntity:
                    continue
                if found.declaration_result.message_count:
                    return False
            for name in (*delays, *queues):
                # It is no error that there is none.
                await channel.call(channel.pika.queue_delete(name), f"deleting {name}")
    except ChannelClosed as error:
        raise refused(link, error) from error
    return True


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
