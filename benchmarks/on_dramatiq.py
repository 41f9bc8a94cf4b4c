"""Dramatiq: acks after the work, a quorum queue, persistent and confirmed messages.

It declares classic queues and has no setting for others, so that one method of its broker is replaced.
"""

from __future__ import annotations

from typing import Any

import dramatiq
from dramatiq.brokers.rabbitmq import RabbitmqBroker

from benchmarks.job import BROKER_URL, JOBS, work_in_thread

NAME = "benchmarks-dramatiq"


class QuorumBroker(RabbitmqBroker):
    """Declares quorum queues."""

    def _build_queue_arguments(self, queue_name: str) -> dict[str, Any]:
        return {**super()._build_queue_arguments(queue_name), "x-queue-type": "quorum"}


dramatiq.set_broker(QuorumBroker(url=BROKER_URL, confirm_delivery=True))


@dramatiq.actor(queue_name=NAME, actor_name="job")
def job(number: int) -> None:  # noqa: ARG001
    """Do one job."""
    work_in_thread()


if __name__ == "__main__":
    for number in range(JOBS):
        job.send(number)
