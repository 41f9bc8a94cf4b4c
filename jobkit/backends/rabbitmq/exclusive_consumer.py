"""The exclusive consumer: how a partition comes to have one consumer, the latest that was opened.

It holds an exclusive queue, which the server lets one connection have and takes away with it. Who wants a queue that is
held sends a message to it, the request to leave; a holder that is alive leaves at once. One that was stopped or cut off
keeps its queue until the server has missed its heartbeats, twice `heartbeat` seconds at most.

It is no fence: the former holder's jobs may still run, and the store sees to those. Nor is it what keeps the order:
the partition's queue has a single active consumer, and passes on to the next only once it has everything back.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from uuid import uuid4

import aio_pika
from aio_pika.abc import AbstractIncomingMessage
from aiormq.exceptions import ChannelLockedResource
from pamqp.common import FieldValue

from jobkit.backends.rabbitmq.connection import Channel, Link
from jobkit.backends.rabbitmq.consumer import DESCRIBE, LEAVE
from jobkit.backends.rabbitmq.messages import Message, addressed
from jobkit.backends.rabbitmq.publisher import Answer, Publisher, publish_one
from jobkit.backends.rabbitmq.topology import exclusive_queue
from jobkit.model.clock import Clock
from jobkit.model.partition import Partition
from jobkit.model.side_by_side import side_by_side

# Between two looks at a queue that is held: the first figure, doubling up to the second.
_POLL_SECONDS = (0.01, 0.5)
# The server takes the queue away with its consumer; one that never came to have a consumer, because whoever took it
# gave up in between, it takes away after this. Else that would block the partition for as long as the connection lives.
_UNUSED: dict[str, FieldValue] = {"x-expires": 5_000}
# Beyond the time after which the server lets go of a silent holder.
_MARGIN_SECONDS = 2.0
_DESCRIBE_SECONDS = 1.0
# The server's own way to answer a question, without a queue for the answers.
_REPLY_TO = "amq.rabbitmq.reply-to"


@dataclass(frozen=True, slots=True)
class Holder:
    """Who is a partition's exclusive consumer, and how many messages it has and has not settled.

    `markers` is how many of its own, which are no jobs, are among these or in the queue.
    """

    owner: str
    unsettled: int
    markers: int


# A holder that is stopped or cut off cannot say who it is.
SILENT = Holder("unknown: it does not answer", 0, 0)


async def acquire_queue(partition: Partition, owner: str, link: Link, publisher: Publisher, clock: Clock) -> Channel:
    """Return a channel that holds the partition's exclusive queue while it is open; have any other holder leave first.

    That one is told who the new `owner` is.

    Raises `Unavailable`, also where a holder that does not answer still has its connection.
    """
    queue = exclusive_queue(partition)
    patience = 2 * link.server.heartbeat + _MARGIN_SECONDS
    deadline = clock.now() + patience
    while True:
        channel = await link.open_channel()
        try:
            declaring = channel.pika.declare_queue(queue, exclusive=True, auto_delete=True, arguments=_UNUSED)
            await channel.call(declaring, f"taking {queue}")
        except ChannelLockedResource:
            pass
        except BaseException:
            await channel.close()
            raise
        else:
            return channel
        pause = _POLL_SECONDS[0]
        while not await publisher.deliver([_notice(queue, LEAVE, owner.encode())]):
            if clock.now() > deadline:
                raise link.unavailable(
                    f"the consumer of {partition} does not leave, for {patience:g} s now: its process does not "
                    "answer, but its connection is alive",
                    "taking its place",
                )
            await clock.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311  (spreads, decides nothing)
            pause = min(2 * pause, _POLL_SECONDS[1])


async def holders(link: Link, partitions: Sequence[Partition]) -> dict[Partition, Holder]:
    """Return each partition's exclusive consumer; those without one are left out. Raises `Unavailable`."""
    answers: dict[str, asyncio.Future[Holder]] = {}
    loop = asyncio.get_running_loop()

    async def on_answer(message: AbstractIncomingMessage) -> None:
        waiting = answers.get(message.correlation_id or "")
        if waiting is not None and not waiting.done():
            waiting.set_result(Holder(**json.loads(message.body)))

    async def ask(channel: Channel, partition: Partition) -> Holder | None:
        question = _notice(exclusive_queue(partition), DESCRIBE, reply_to=_REPLY_TO)
        answer = answers[question.properties.correlation_id or ""] = loop.create_future()
        if await publish_one(channel, question) is Answer.NO_QUEUE:
            return None
        done, _ = await asyncio.wait([answer], timeout=_DESCRIBE_SECONDS)
        return answer.result() if done else SILENT

    async with link.channel(confirms=True) as channel:
        answering = await channel.pika.get_queue(_REPLY_TO, ensure=False)
        await channel.call(answering.consume(on_answer, no_ack=True), "asking consumers")

        async def ask_all() -> list[Holder | None]:
            return await side_by_side(partial(ask, channel, partition) for partition in partitions)

        found = await channel.call(ask_all(), "asking consumers")
    return {partition: holder for partition, holder in zip(partitions, found, strict=True) if holder is not None}


def _notice(queue: str, verb: str, body: bytes = b"", *, reply_to: str | None = None) -> Message:
    id = uuid4().hex
    return addressed(aio_pika.Message(body, message_id=id, correlation_id=id, type=verb, reply_to=reply_to), queue)
