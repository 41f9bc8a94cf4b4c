"""What Django is told of a task: made of the job's record."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from traceback import format_exception
from typing import Any

from django.tasks import Task, TaskResult, TaskResultStatus
from django.tasks.base import TaskError
from django.utils import timezone
from django.utils.module_loading import import_string

from jobkit.errors import JobCancelled, JobExpired
from jobkit.integrations.django.task_types import TaskDone, TaskRun, queue_of, task_in
from jobkit.model.failure import Failure
from jobkit.ports.inspection import JobRecord, JobState

_STATUS = {
    JobState.SCHEDULED: TaskResultStatus.READY,
    JobState.QUEUED: TaskResultStatus.READY,
    JobState.PARKED: TaskResultStatus.READY,
    JobState.RUNNING: TaskResultStatus.RUNNING,
    JobState.COMMITTED: TaskResultStatus.SUCCESSFUL,
    JobState.DEAD: TaskResultStatus.FAILED,
    JobState.CANCELLED: TaskResultStatus.FAILED,
    JobState.EXPIRED: TaskResultStatus.FAILED,
}
_UNTOLD: dict[JobState, type[Exception]] = {JobState.CANCELLED: JobCancelled, JobState.EXPIRED: JobExpired}


def task_of(run: TaskRun) -> Any:
    """Return the task that is to run. Raises `ImportError`, or Django's `InvalidTask` where it can run no more."""
    task: Task = import_string(run.task)
    return task.using(priority=run.priority, queue_name=run.queue, run_after=_local(run.run_after), backend=run.backend)


def new_result(task: Any, run: TaskRun, status: Any, workers: Sequence[str] = ()) -> Any:
    """Return the result of a task that is enqueued, or begins, now."""
    now = timezone.now()
    began = now if status is TaskResultStatus.RUNNING else None
    return TaskResult(
        task=task,
        id=run.id,
        status=status,
        enqueued_at=now,
        started_at=began,
        finished_at=None,
        last_attempted_at=began,
        args=run.args,
        kwargs=run.kwargs,
        backend=run.backend,
        errors=[],
        worker_ids=list(workers),
    )


def result_of(record: JobRecord, run: TaskRun | None, backend: str) -> Any:
    """Return the result of a task whose job has this record; without what it was it has no arguments."""
    done = None if record.result is None else TaskDone.model_validate_json(record.result)
    if run is None and done is not None:
        run = done.run
    if run is None:
        run = _what_is_left(record, backend)
    workers = [failure.owner for failure in record.failures]
    if record.owner is not None and record.state in (JobState.RUNNING, JobState.COMMITTED):
        workers.append(record.owner)
    result = TaskResult(
        task=task_of(run),
        id=record.id,
        status=_STATUS[record.state],
        enqueued_at=_moment(record.submitted_at),
        started_at=_moment(record.started_at),
        finished_at=_moment(record.finished_at),
        last_attempted_at=_moment(record.started_at),
        args=run.args,
        kwargs=run.kwargs,
        backend=backend,
        errors=[_error(failure) for failure in record.failures] + _ended_otherwise(record),
        worker_ids=workers,
    )
    if done is not None:
        object.__setattr__(result, "_return_value", done.value)
    return result


def error_of(error: BaseException) -> Any:
    """Return what a task raised, as Django has it."""
    return TaskError(
        exception_class_path=f"{type(error).__module__}.{type(error).__qualname__}",
        traceback="".join(format_exception(error)),
    )


def _what_is_left(record: JobRecord, backend: str) -> TaskRun:
    return TaskRun(id=record.id, task=task_in(record.key), backend=backend, queue=queue_of(record.type) or "")


def _error(failure: Failure) -> Any:
    """Return a failed attempt as Django has it: the class is named in the last line of the traceback."""
    named = failure.error.partition(":")[0]
    for line in failure.traceback.splitlines():
        path = line.partition(":")[0]
        if path.rpartition(".")[2] == named and path.replace(".", "").isidentifier():
            return TaskError(exception_class_path=_with_module(path), traceback=failure.traceback)
    return TaskError(exception_class_path=_with_module(named), traceback=failure.traceback)


def _with_module(name: str) -> str:
    return name if "." in name else f"builtins.{name}"


def _ended_otherwise(record: JobRecord) -> list[Any]:
    error = _UNTOLD.get(record.state)
    if error is None:
        return []
    return [TaskError(exception_class_path=f"{error.__module__}.{error.__qualname__}", traceback=record.reason or "")]


def _moment(at: float | None) -> datetime | None:
    return None if at is None else _local(datetime.fromtimestamp(at, UTC))


def _local(at: datetime | None) -> datetime | None:
    """Return a time as the project has its times: without a zone where it uses none."""
    from django.conf import settings

    return at if at is None or settings.USE_TZ else timezone.make_naive(at)
