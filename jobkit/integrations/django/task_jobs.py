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
from jobkit.integrations.django.task_results import error_of, new_result, task_of
from jobkit.integrations.django.task_types import TaskDone, TaskRun, task_type
from jobkit.integrations.django.tasks import JobkitBackend


def run_task(job: TaskRun, ctx: SyncContext) -> TaskDone:
    """Run a task in a thread; one that is a coroutine has a loop of its own there."""
    try:
        return _attempt(task_backends[job.backend], job, ctx)
    finally:
        # They are this thread's, which ends with the attempt.
        connections.close_all()


def _attempt(backend: Any, job: TaskRun, ctx: SyncContext) -> TaskDone:
    task = task_of(job)
    worker = f"{socket.gethostname()} {os.getpid()}"
    result = new_result(task, job, TaskResultStatus.RUNNING, [worker] * ctx.job.attempt)
    task_started.send(type(backend), task_result=result)
    run = partial(task.call, TaskContext(task_result=result)) if task.takes_context else task.call
    try:
        value = normalize_json(run(*result.args, **result.kwargs))
    except BaseException as error:
        result.errors.append(error_of(error))
        _tell_end(backend, result, TaskResultStatus.FAILED)
        raise
    object.__setattr__(result, "_return_value", value)
    _tell_end(backend, result, TaskResultStatus.SUCCESSFUL)
    return TaskDone(value=value, run=job if backend.options.get("keep_arguments", True) else None)


def _tell_end(backend: Any, result: Any, status: Any) -> None:
    """Tell all who listen how an attempt ended. What goes wrong with them is logged by Django, and changes nothing."""
    object.__setattr__(result, "status", status)
    object.__setattr__(result, "finished_at", timezone.now())
    task_finished.send_robust(type(backend), task_result=result)


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
