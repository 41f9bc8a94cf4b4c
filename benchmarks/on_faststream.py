"""FastStream: acks after the handler, a quorum queue, persistent and confirmed messages."""

from __future__ import annotations

import asyncio
import logging
import sys

from faststream import AckPolicy, FastStream
from faststream.rabbit import Channel, QueueType, RabbitBroker, RabbitQueue

from benchmarks.job import BROKER_URL, JOBS, PREFETCH, work

NAME = "benchmarks-faststream"

# A log line for each message, which is its default, would be most of what is measured.
broker = RabbitBroker(BROKER_URL, logger=None)
queue = RabbitQueue(NAME, queue_type=QueueType.QUORUM, durable=True)


@broker.subscriber(queue, channel=Channel(prefetch_count=PREFETCH), ack_policy=AckPolicy.NACK_ON_ERROR)
async def job(number: int) -> None:  # noqa: ARG001
    """Do one job."""
    await work()


async def _publish() -> None:
    async with broker:
        await broker.declare_queue(queue)
        for start in range(0, JOBS, PREFETCH):
            numbers = range(start, min(start + PREFETCH, JOBS))
            await asyncio.gather(*(broker.publish(number, queue=queue, persist=True) for number in numbers))


if __name__ == "__main__":
    asyncio.run(FastStream(broker, logger=None).run(log_level=logging.WARNING) if "worker" in sys.argv else _publish())
