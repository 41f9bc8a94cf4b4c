"""Depths: what the server counts as ready, and what consumers say they have in hand.

The server tells nobody but a consumer itself what that consumer has in hand. One that does not answer is named as
such, and what it holds is missing from the count.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aio_pika.exceptions import ChannelClosed, ChannelNotFoundEntity

from jobkit.backends.rabbitmq.connection import Channel, Link
from jobkit.backends.rabbitmq.exclusive_consumer import Holder
from jobkit.backends.rabbitmq.faults import refused
from jobkit.backends.rabbitmq.topology import DELAY_STEPS, dead_letter_queue, delay_queue, partition_queue
from jobkit.model.partition import Partition
from jobkit.ports.broker import QueueDepth

# So many partitions are asked about at the same time, each on a channel of its own.
_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class _Count:
    ready: int
    delayed: int


async def measure(link: Link, partitions: Sequence[Partition], holders: Mapping[Partition, Holder]) -> list[QueueDepth]:
    """Return the depth of those partitions whose queue exists. Raises `Unavailable` or `ConfigurationError`."""
    turns = asyncio.Semaphore(_AT_ONCE)

    async def counted(partition: Partition) -> _Count | None:
        async with turns:
            return await _count(link, partition)

    counts = await asyncio.gather(*(counted(partition) for partition in partitions), return_exceptions=True)
    depths = []
    for partition, count in zip(partitions, counts, strict=True):
        if isinstance(count, BaseException):
            raise count
        if count is not None:
            holder = holders.get(partition)
            ready = count.ready
            if holder is not None:
                ready = max(0, ready + holder.unsettled - holder.markers)
            ready += count.delayed
            depths.append(QueueDepth(partition, ready, count.delayed, holder.owner if holder is not None else None))
    return depths


async def measure_dropped(link: Link, types: Sequence[str]) -> dict[str, int]:
    """Return how many messages the server has dropped into each type's dead-letter queue. Raises `Unavailable`."""
    found = {}
    for type in types:
        try:
            async with link.channel() as channel:
                found[type] = await _ready(channel, dead_letter_queue(type))
        except ChannelNotFoundEntity:
            found[type] = 0
        except ChannelClosed as error:
            raise refused(link, error) from error
    return found


async def _count(link: Link, partition: Partition) -> _Count | None:
    ready = None
    delayed = 0
    try:
        async with link.channel() as channel:
            ready = await _ready(channel, partition_queue(partition))
            # Made together, the shortest first: without that one there are none, and the server ends the channel.
            for step in DELAY_STEPS:
                delayed += await _ready(channel, delay_queue(partition, step))
    except ChannelNotFoundEntity:
        return None if ready is None else _Count(ready, delayed)
    except ChannelClosed as error:
        raise refused(link, error) from error
    return _Count(ready, delayed)


async def _ready(channel: Channel, queue: str) -> int:
    found = await channel.call(channel.pika.get_queue(queue), f"counting {queue}")
    return found.declaration_result.message_count or 0
