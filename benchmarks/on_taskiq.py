"""Taskiq with taskiq-aio-pika: acks when the task was executed, a quorum queue, persistent and confirmed messages."""

from __future__ import annotations

import asyncio

from taskiq_aio_pika import AioPikaBroker
from taskiq_aio_pika.queue import Queue, QueueType

from benchmarks.job import BROKER_URL, JOBS, PREFETCH, work

NAME = "benchmarks-taskiq"

broker = AioPikaBroker(BROKER_URL, qos=PREFETCH, task_queues=[Queue(name=NAME, type=QueueType.QUORUM)])


@broker.task(task_name="job")
async def job(number: int) -> None:  # noqa: ARG001
    """Do one job."""
    await work()


async def _publish() -> None:
    await broker.startup()
    for start in range(0, JOBS, PREFETCH):
        await asyncio.gather(*(job.kiq(number) for number in range(start, min(start + PREFETCH, JOBS))))
    await broker.shutdown()


if __name__ == "__main__":
    asyncio.run(_publish())
