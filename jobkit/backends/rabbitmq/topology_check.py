"""Looking at what exists on the server of what topology.py describes. It makes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from aiormq.exceptions import ChannelClosed, ChannelNotFoundEntity, ChannelPreconditionFailed

from jobkit.backends.rabbitmq.connection import Channel, Link
from jobkit.backends.rabbitmq.declare import declare_queue, refused
from jobkit.backends.rabbitmq.topology import Argument, Queue, Topology

# So many queues are looked at at the same time, each on a channel of its own.
_AT_ONCE = 16


class State(StrEnum):
    """How a thing is found. Delay queues, made when a job first needs them, and bindings are not looked at."""

    THERE = "there"
    MISSING = "missing"
    DIFFERENT = "different"


@dataclass(frozen=True, slots=True)
class Found:
    """One exchange or queue: as it should be, and whether it is.

    `messages` are those ready in a queue; `problem` is the server's word for a difference.
    """

    kind: str
    name: str
    arguments: Mapping[str, Argument]
    state: State
    messages: int = 0
    problem: str = ""


async def look(link: Link, topology: Topology) -> Sequence[Found]:
    """Return every exchange and queue of a type with its state. Raises `Unavailable` or `ConfigurationError`."""
    turns = asyncio.Semaphore(_AT_ONCE)

    async def looked_at(queue: Queue) -> Found:
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


async def _look_at_exchange(link: Link, name: str) -> Found:
    async def ask(channel: Channel) -> int:
        await channel.call(channel.raw.exchange_declare(name, passive=True), f"looking for {name}")
        await channel.call(
            channel.raw.exchange_declare(name, exchange_type="direct", durable=True), f"looking at {name}"
        )
        return 0

    return Found("exchange", name, {}, *await _asked(link, ask))


async def _look_at_queue(link: Link, queue: Queue) -> Found:
    async def ask(channel: Channel) -> int:
        answer = await channel.call(channel.raw.queue_declare(queue.name, passive=True), f"looking for {queue.name}")
        # It exists, so that declaring it only compares.
        await declare_queue(channel, queue)
        return answer.message_count or 0

    return Found("queue", queue.name, queue.arguments, *await _asked(link, ask))


async def _asked(link: Link, ask: Callable[[Channel], Awaitable[int]]) -> tuple[State, int, str]:
    try:
        async with link.channel() as channel:
            return State.THERE, await ask(channel), ""
    except ChannelNotFoundEntity:
        return State.MISSING, 0, ""
    except ChannelPreconditionFailed as error:
        return State.DIFFERENT, 0, str(error)
    except ChannelClosed as error:
        raise refused(link, error) from error
