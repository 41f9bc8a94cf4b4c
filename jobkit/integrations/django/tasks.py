"""The Tasks of Django 6, run by jobkit.

`TASKS = {"default": {"BACKEND": "jobkit.integrations.django.tasks.JobkitBackend"}}`: each queue in `QUEUES` is a job
type, so `manage.py jobkit worker django-tasks.default` runs the tasks of one. `OPTIONS` may say:

* `database`: which of `DATABASES` is the store's. What is enqueued within `transaction.atomic()` there is part of the
  transaction.
* `attempts`: how often a task that fails is tried; 1 unless said. Then it is a dead letter, which may be requeued.
* `keep_arguments`: whether the results of tasks that succeeded keep their arguments, as long as they are kept
  themselves; True unless said. Otherwise, and of tasks that failed, only who enqueued them knows these.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.core.checks import Error
from django.db import connections
from django.tasks import TaskResultStatus, task_backends
from django.tasks.backends.base import BaseTaskBackend
from django.tasks.exceptions import TaskResultDoesNotExist
from django.tasks.signals import task_enqueued
from django.utils import timezone
from django.utils.json import normalize_json

from jobkit.errors import JobNotFound
from jobkit.integrations.django import client
from jobkit.integrations.django.task_results import new_result, result_of
from jobkit.integrations.django.task_types import TaskRun, queue_of, task_type
from jobkit.model.ids import new_job_id
from jobkit.model.priority import PriorityName

_OPTIONS = {"database", "attempts", "keep_arguments"}


class JobkitBackend(BaseTaskBackend):  # type: ignore[misc]  # Django has no types
    """Enqueues tasks as jobs."""

    supports_defer = True
    supports_async_task = True
    supports_get_result = True
    supports_priority = True

    def enqueue(self, task: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Accept a task, in the transaction that is open on the store's database, if any. Raises as `Client.submit`."""
        self.validate_task(task)
        after = task.run_after
        run = TaskRun(
            id=new_job_id(),
            task=task.module_path,
            args=normalize_json(list(args)),
            kwargs=normalize_json(dict(kwargs)),
            backend=self.alias,
            queue=task.queue_name,
            priority=task.priority,
            run_after=after if after is None or timezone.is_aware(after) else timezone.make_aware(after),
        )
        client().submit(
            task_type(run.queue),
            run,
            id=run.id,
            at=run.run_after,
            priority=_priority(run.priority),
            connection=self._transaction(),
        )
        result = new_result(task, run, TaskResultStatus.READY)
        task_enqueued.send(type(self), task_result=result)
        return result

    def get_result(self, result_id: str) -> Any:
        """Return what is known of a task. Raises `TaskResultDoesNotExist`, or jobkit's `Unavailable`."""
        try:
            record = client().status(result_id)
            payload = None if record.state.ended else client().payload(result_id)
            if payload is None and not record.state.ended:
                # It ended between the two.
                record = client().status(result_id)
        except JobNotFound as error:
            raise TaskResultDoesNotExist(result_id) from error
        if queue_of(record.type) not in self.queues:
            raise TaskResultDoesNotExist(result_id)
        return result_of(record, None if payload is None else TaskRun.model_validate(payload), self.alias)

    def check(self, **kwargs: Any) -> list[Any]:
        """Return what is wrong with its settings."""
        found = list(super().check(**kwargs))
        if not self.queues:
            found.append(Error("TASKS: jobkit's backend needs QUEUES: each is a job type", id="jobkit.E001"))
        if unknown := sorted(set(self.options) - _OPTIONS):
            known = ", ".join(sorted(_OPTIONS))
            found.append(Error(f"TASKS: OPTIONS {', '.join(unknown)} are none of {known}", id="jobkit.E002"))
        if shared := sorted(self.queues & self._queues_before()):
            names = ", ".join(shared)
            found.append(Error(f"TASKS: queues {names} of {self.alias!r} are another backend's, too", id="jobkit.E003"))
        return found

    def _queues_before(self) -> set[str]:
        """Return the queues of the project's backends of jobkit's that come before this one: each is one job type."""
        found: set[str] = set()
        for alias in task_backends.settings:
            if alias == self.alias:
                break
            backend = task_backends[alias]
            if isinstance(backend, JobkitBackend):
                found |= backend.queues
        return found

    def _transaction(self) -> Any:
        database = self.options.get("database")
        if database is None or not connections[database].in_atomic_block:
            return None
        return connections[database]


def _priority(number: int) -> PriorityName:
    return "normal" if number == 0 else "high" if number > 0 else "low"
