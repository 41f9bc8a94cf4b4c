"""The directory of job types: AMQP cannot list queues, so a queue holds one message for each type there is.

It is for people and dashboards, and `jobkit topology --apply` puts back what somebody purged. How many partitions are
in force, the store knows.

Who reads is the queue's only consumer meanwhile, takes everything out, and gives it back by leaving. A message of the
reader's own, published after it came, tells it where the end is.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import aio_pika
from aio_pika.abc import AbstractIncomingMessage
from aio_pika.exceptions import ChannelClosed
from aiormq.exceptions import ChannelAccessRefused

from jobkit.backends.rabbitmq.connection import RPC_SECONDS, Channel, Link
from jobkit.backends.rabbitmq.declare import declare_queue
from jobkit.backends.rabbitmq.faults import refused
from jobkit.backends.rabbitmq.messages import Message, addressed
from jobkit.backends.rabbitmq.publisher import Publisher
from jobkit.backends.rabbitmq.topology import TYPES
from jobkit.model.clock import Clock

_END = "jobkit.end"
_ENTRY = "jobkit.type"
# Reading takes milliseconds; who finds somebody else reading looks again after about so long.
_POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Types:
    """The number of partitions of each type, and which types have bands."""

    partitions: dict[str, int] = field(default_factory=dict)
    with_bands: set[str] = field(default_factory=set)


class Directory:
    """The types, how many queues each of them has, and which have bands."""

    def __init__(self, link: Link, publisher: Publisher, clock: Clock) -> None:
        self._link = link
        self._publisher = publisher
        self._clock = clock

    async def read(self) -> Types:
        """Return the types there are. Raises `Unavailable` or `ConfigurationError`."""
        async with self._reading() as types:
            return types

    async def enter(self, type: str, partitions: int, *, bands: bool) -> None:
        """Enter a type, another number of its partitions, or that it has bands; errors as for `read`.

        The latest entry of a type counts, and those before it are taken away by who reads them.
        """
        async with self._reading() as types:
            await self._enter(types, type, partitions, bands=bands or type in types.with_bands)

    async def enter_bands(self, type: str, partitions: int) -> None:
        """Enter that a type has bands; one that is new has so many partitions. Errors as for `read`."""
        async with self._reading() as types:
            await self._enter(types, type, types.partitions.get(type, partitions), bands=True)

    async def _enter(self, types: Types, type: str, partitions: int, *, bands: bool) -> None:
        if types.partitions.get(type) == partitions and bands == (type in types.with_bands):
            return
        entry = {"type": type, "partitions": partitions, **({"bands": True} if bands else {})}
        await self._publisher.deliver([_message(_ENTRY, json.dumps(entry).encode())])

    @asynccontextmanager
    async def _reading(self) -> AsyncIterator[Types]:
        """Read the directory and keep all others from it during the block."""
        deadline = self._clock.now() + RPC_SECONDS
        while True:
            try:
                async with self._link.channel() as channel:
                    yield await self._read(channel)
                    return
            except ChannelAccessRefused as error:
                if "exclusive" not in str(error) or self._clock.now() > deadline:
                    raise refused(self._link, error) from error
            except ChannelClosed as error:
                raise refused(self._link, error) from error
            await self._clock.sleep(_POLL_SECONDS * random.uniform(0.5, 1.5))  # noqa: S311  (spreads, decides nothing)

    async def _read(self, channel: Channel) -> Types:
        found = Types()
        end = _message(_END, b"")
        ended = asyncio.Event()
        entries: dict[str, AbstractIncomingMessage] = {}
        outdated: list[AbstractIncomingMessage] = []

        async def on_message(message: AbstractIncomingMessage) -> None:
            if message.type == _ENTRY:
                entry: dict[str, Any] = json.loads(message.body)
                type = str(entry["type"])
                found.partitions[type] = int(entry["partitions"])
                if entry.get("bands"):
                    found.with_bands.add(type)
                if type in entries:
                    outdated.append(entries[type])
                entries[type] = message
            else:
                # Also the marks of readers that died.
                outdated.append(message)
            if message.message_id == end.properties.message_id:
                ended.set()

        queue = await declare_queue(channel, TYPES)
        await channel.call(queue.consume(on_message, exclusive=True), f"reading {TYPES.name}")
        await self._publisher.deliver([end])
        await channel.call(ended.wait(), f"reading {TYPES.name}")
        for message in outdated:
            await channel.call(message.ack(), f"reading {TYPES.name}")
        return found


def _message(kind: str, body: bytes) -> Message:
    persistent = aio_pika.DeliveryMode.PERSISTENT
    message = aio_pika.Message(body, message_id=uuid4().hex, type=kind, delivery_mode=persistent)
    return addressed(message, TYPES.name)
