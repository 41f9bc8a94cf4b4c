"""The processors of Django's tasks, one for each queue of the project's backends that are jobkit's."""

from __future__ import annotations

import os
import socket
from functools import partial
from typing import Any

from django.db import connections
from django.tasks import TaskContext, TaskResultStatus, task_backends
from django.tasks.signals import task_finished, task_started
from django.utils import timezone
from django.utils.json import normalize_json

from jobkit import Processor, RetryPolicy, SyncContext, processor
from jobkit.integrations.django.task_results import new_result, task_of
from jobkit.integrations.django.task_types import TaskDone, TaskRun, task_type
from jobkit.integrations.django.tasks import JobkitBackend


def run_task(job: TaskRun, ctx: SyncContext) -> TaskDone:
    """Run a task in a thread; one that is a coroutine has a loop of its own there."""
    backend = task_backends[job.backend]
    task = task_of(job)
    worker = f"{socket.gethostname()} {os.getpid()}"
    result = new_result(task, job, TaskResultStatus.RUNNING, [worker] * ctx.job.attempt)
    task_started.send(type(backend), task_result=result)
    run = partial(task.call, TaskContext(task_result=result)) if task.takes_context else task.call
    status = TaskResultStatus.FAILED
    try:
        value = normalize_json(run(*result.args, **result.kwargs))
        status = TaskResultStatus.SUCCESSFUL
        object.__setattr__(result, "_return_value", value)
    finally:
        object.__setattr__(result, "status", status)
        object.__setattr__(result, "finished_at", timezone.now())
        task_finished.send(type(backend), task_result=result)
        # They are this thread's, which ends with the attempt.
        connections.close_all()
    return TaskDone(value=value, run=job if backend.options.get("keep_arguments", True) else None)


def processors() -> dict[str, Processor[TaskRun, TaskDone]]:
    """Return the processors by the names that they have in this module, where the worker finds them."""
    found = {}
    for alias in task_backends.settings:
        backend = task_backends[alias]
        if isinstance(backend, JobkitBackend):
            for queue in backend.queues:
                found[f"queue_{queue}"] = _processor(backend, queue)
    return found


def _processor(backend: Any, queue: str) -> Processor[TaskRun, TaskDone]:
    retry = RetryPolicy(max_attempts=backend.options.get("attempts", 1))
    return processor(task_type(queue), key=lambda job: job.key, priority="normal", retry=retry)(run_task)


globals().update(processors())
