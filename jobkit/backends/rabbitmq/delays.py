"""Delays: messages that wait in a queue of their own until it hands them back to their partition.

It keeps no order, and is only for jobs without one. A message may come later than asked, by up to as much again.
"""

from __future__ import annotations

import asyncio

from aiormq import spec

from jobkit.backends.rabbitmq.connection import Link
from jobkit.backends.rabbitmq.declare import make_queues
from jobkit.backends.rabbitmq.messages import delayed
from jobkit.backends.rabbitmq.publisher import Publisher
from jobkit.backends.rabbitmq.topology import delay_queue, delay_queues, delay_step
from jobkit.errors import ConfigurationError
from jobkit.model.partition import Partition


class Delays:
    """Puts messages into delay queues, which it makes for a partition the first time."""

    def __init__(self, link: Link, publisher: Publisher) -> None:
        self._link = link
        self._publisher = publisher
        self._making = asyncio.Lock()

    async def put(self, partition: Partition, body: bytes, properties: spec.Basic.Properties, seconds: float) -> None:
        """Publish the message again so that it comes back no sooner than `seconds` from now.

        Raises `Unavailable`, after which it may be in, or `ConfigurationError`.
        """
        step = delay_step(seconds)
        message = delayed(body, properties, delay_queue(partition, step), seconds - step)
        if not await self._publisher.deliver([message]):
            return
        async with self._making:
            # Somebody else may have made them meanwhile.
            if await self._publisher.deliver([message]):
                await make_queues(self._link, delay_queues(partition))
                if await self._publisher.deliver([message]):
                    raise ConfigurationError(f"the queue {message.queue} was made, and is gone again")
