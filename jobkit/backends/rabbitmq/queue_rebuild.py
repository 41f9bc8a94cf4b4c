"""Taking away a queue that takes messages and never confirms: what RabbitMQ 3.10 makes of one whose node was killed
within a second after it was made. Some of them still deliver, others have no leader and let nobody consume.

Nothing is lost by it. Either the queue is empty, and its one consumer, in this process, has settled all it was given;
or the store would publish again whatever may be in it. What it is given meanwhile it confirms to nobody, so whoever
published that still has it and publishes it again. And it is silent to the end: a message of our own, which consumers
drop, is under way on it until it is gone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from uuid import uuid4

import aio_pika
import structlog
from aio_pika.exceptions import ChannelClosed

from jobkit.backends.rabbitmq.connection import Channel, Link
from jobkit.backends.rabbitmq.consumer import PROBE, RabbitConsumer
from jobkit.backends.rabbitmq.faults import refused
from jobkit.backends.rabbitmq.messages import addressed
from jobkit.backends.rabbitmq.publisher import Answer, publish_one
from jobkit.model.clock import Clock

_log = structlog.get_logger("jobkit.rabbitmq")

# How long a queue is given to confirm a probe before it counts as one that never does.
PROBE_SECONDS = 5.0
_LOOK_SECONDS = 0.05


async def probe(channel: Channel, queue: str, clock: Clock) -> asyncio.Task[Answer]:
    """Give a queue a message that its consumer drops; return the confirm, which may still be waited for."""
    persistent = aio_pika.DeliveryMode.PERSISTENT
    message = aio_pika.Message(b"", message_id=uuid4().hex, type=PROBE, delivery_mode=persistent)
    confirm = asyncio.ensure_future(publish_one(channel, addressed(message, queue)))
    confirm.add_done_callback(_on_message)
    try:
        deadline = clock.now() + PROBE_SECONDS
        while not confirm.done() and clock.now() < deadline:
            await clock.sleep(_LOOK_SECONDS)
    except BaseException:
        confirm.cancel()
        raise
    return confirm


async def remove_silent(
    link: Link,
    queue: str,
    consumer: Callable[[], RabbitConsumer | None],
    covered: Callable[[], Awaitable[bool]],
    clock: Clock,
) -> bool:
    """Delete a queue if it is silent and nothing is lost with it; tell whether it was deleted.

    `consumer` returns the queue's consumer in this process. Raises `Unavailable` or `ConfigurationError`.
    """
    try:
        async with link.channel(confirms=True) as publishing, link.channel() as asking:
            confirm = await probe(publishing, queue, clock)
            try:
                found = await asking.call(asking.pika.get_queue(queue), f"looking at {queue}")
                here = consumer()
                empty = not found.declaration_result.message_count
                drained = here is not None and here.open and not here.unsettled and empty
                if not drained and not await covered():
                    return False
                if confirm.done():
                    return False
                gone = await asking.call(asking.pika.queue_delete(queue), f"deleting {queue}")
            finally:
                confirm.cancel()
    except ChannelClosed as error:
        raise refused(link, error) from error
    _log.warning("a queue was deleted", queue=queue, unconfirmed=gone.message_count)
    return True


def _on_message(confirm: asyncio.Task[Answer]) -> None:
    if not confirm.cancelled():
        confirm.exception()
