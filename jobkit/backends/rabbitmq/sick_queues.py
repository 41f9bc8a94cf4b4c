"""Which queues do not do their work although they exist: those without a leader, and those that never confirm.

It changes nothing. A queue is asked for a message in a way that a single active consumer forbids, which only its leader
can say; and where jobkit consumes it, it is given a message that consumers drop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial

from aio_pika.abc import AbstractQueue
from aio_pika.exceptions import AMQPError

from jobkit.backends.rabbitmq.connection import Link
from jobkit.backends.rabbitmq.queue_rebuild import PROBE_SECONDS, probe
from jobkit.model.clock import Clock
from jobkit.model.side_by_side import side_by_side

# So many queues are asked at the same time, each on a channel of its own.
_AT_ONCE = 16


async def silent_queues(link: Link, queues: Sequence[str], clock: Clock) -> list[str]:
    """Return those of the queues, which exist, that do not answer. Raises `Unavailable` or `ConfigurationError`.

    The link is to be closed afterwards: channels that wait for such a queue stay open until then.
    """
    turns = asyncio.Semaphore(_AT_ONCE)

    async def asked(queue: str) -> bool:
        async with turns:
            return await _is_silent(link, queue, clock)

    answers = await side_by_side(partial(asked, queue) for queue in queues)
    return [queue for queue, silent in zip(queues, answers, strict=True) if silent]


async def _is_silent(link: Link, queue: str, clock: Clock) -> bool:
    looking = await link.open_channel()
    found = await looking.call(looking.pika.get_queue(queue), f"looking at {queue}")
    if not await _has_leader(found):
        return True
    if not found.declaration_result.consumer_count:
        return False
    confirm = await probe(await link.open_channel(confirms=True), queue, clock)
    silent = not confirm.done()
    confirm.cancel()
    return silent


async def _has_leader(queue: AbstractQueue) -> bool:
    """Return whether the queue answers at all; what it says, mostly a refusal, does not matter."""
    asking = asyncio.ensure_future(queue.get(fail=False, timeout=None))
    await asyncio.wait([asking], timeout=PROBE_SECONDS)
    if not asking.done():
        asking.cancel()
        return False
    error = None if asking.cancelled() else asking.exception()
    if error is not None and not isinstance(error, AMQPError):
        raise error
    return True
