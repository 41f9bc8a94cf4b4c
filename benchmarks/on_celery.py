"""Celery: acks after the work, a quorum queue, persistent and confirmed messages, no results.

Solo for jobs that do nothing, since handing each to a thread would only cost; threads for jobs that wait.
"""

from __future__ import annotations

from celery import Celery
from kombu import Queue

from benchmarks.job import BROKER_URL, JOBS, PREFETCH, THREADS, WITH_IO, work_in_thread

NAME = "benchmarks-celery"

app = Celery("benchmarks.on_celery", broker=BROKER_URL)
app.conf.update(
    task_queues=[Queue(NAME, routing_key=NAME, queue_arguments={"x-queue-type": "quorum"})],
    task_default_queue=NAME,
    task_default_exchange_type="direct",
    task_default_routing_key=NAME,
    task_default_delivery_mode="persistent",
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    task_ignore_result=True,
    task_store_errors_even_if_ignored=False,
    worker_prefetch_multiplier=PREFETCH // THREADS if WITH_IO else PREFETCH,
    worker_enable_remote_control=False,
    worker_send_task_events=False,
    broker_transport_options={"confirm_publish": True},
    broker_connection_retry_on_startup=True,
)


@app.task
def job(number: int) -> None:  # noqa: ARG001
    """Do one job."""
    work_in_thread()


if __name__ == "__main__":
    # By the name that the worker knows it under; here this module is called __main__.
    for number in range(JOBS):
        app.send_task("benchmarks.on_celery.job", (number,))
