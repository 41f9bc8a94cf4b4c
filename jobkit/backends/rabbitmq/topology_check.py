"""Looking at what exists on the server of what topology.py describes. It makes nothing.

Delay queues, made when a job first needs them, and bindings are not looked at.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from aio_pika import ExchangeType
from aio_pika.exceptions import ChannelClosed, ChannelNotFoundEntity, ChannelPreconditionFailed

from jobkit.backends.rabbitmq.connection import Channel, Link
from jobkit.backends.rabbitmq.declare import declare_queue
from jobkit.backends.rabbitmq.faults import refused
from jobkit.backends.rabbitmq.topology import Queue, Topology
from jobkit.ports.topology import PartState, TopologyPart

# So many queues are looked at at the same time, each on a channel of its own.
_AT_ONCE = 16


async def look(link: Link, topology: Topology) -> Sequence[TopologyPart]:
    """Return every exchange and queue of a type with its state. Raises `Unavailable` or `ConfigurationError`."""
    turns = asyncio.Semaphore(_AT_ONCE)

    async def looked_at(queue: Queue) -> TopologyPart:
        async with turns:
            return await _look_at_queue(link, queue)

    looks = [_look_at_exchange(link, topology.exchange)]
    looks += [looked_at(queue) for queue in (topology.marker, *topology.queues)]
    found = []
    for one in await asyncio.gather(*looks, return_exceptions=True):
        if isinstance(one, BaseException):
            raise one
        found.append(one)
    return found


async def _look_at_exchange(link: Link, name: str) -> TopologyPart:
    async def ask(channel: Channel) -> int:
        await channel.call(channel.pika.get_exchange(name), f"looking for {name}")
        declaring = channel.pika.declare_exchange(name, ExchangeType.DIRECT, durable=True)
        await channel.call(declaring, f"looking at {name}")
        return 0

    return TopologyPart("exchange", name, {}, *await _asked(link, ask))


async def _look_at_queue(link: Link, queue: Queue) -> TopologyPart:
    async def ask(channel: Channel) -> int:
        found = await channel.call(channel.pika.get_queue(queue.name), f"looking for {queue.name}")
        # It exists, so that declaring it only compares.
        await declare_queue(channel, queue)
        return found.declaration_result.message_count or 0

    return TopologyPart("queue", queue.name, queue.arguments, *await _asked(link, ask))


async def _asked(link: Link, ask: Callable[[Channel], Awaitable[int]]) -> tuple[PartState, int, str]:
    try:
        async with link.channel() as channel:
            return PartState.THERE, await ask(channel), ""
    except ChannelNotFoundEntity:
        return PartState.MISSING, 0, ""
    except ChannelPreconditionFailed as error:
        return PartState.DIFFERENT, 0, str(error)
    except ChannelClosed as error:
        raise refused(link, error) from error
