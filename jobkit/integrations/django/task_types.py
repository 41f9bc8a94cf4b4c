"""What a task of Django's is as a job: its type, its payload, and its result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from pydantic import Field, JsonValue

from jobkit import Payload, Result

_TYPE = "django-tasks."


class TaskRun(Payload):
    """A task with its arguments, as it was enqueued; `id` is the job's own."""

    id: str
    task: str
    args: Sequence[JsonValue] = ()
    kwargs: Mapping[str, JsonValue] = Field(default_factory=dict)
    backend: str
    queue: str
    priority: int = 0
    run_after: datetime | None = None

    @property
    def key(self) -> str:
        """The job's key: one of its own, which tells the task of a job whose payload nobody keeps any more."""
        return f"{self.task} {self.id}"


class TaskDone(Result):
    """What the task has returned, and what it was, unless the backend is not to keep that."""

    value: JsonValue = None
    run: TaskRun | None = None


def task_type(queue: str) -> str:
    """Return the job type of the tasks in a queue."""
    return f"{_TYPE}{queue}"


def queue_of(type: str) -> str | None:
    """Return the queue whose tasks are of a job type, or None where that is not one of theirs."""
    return type.removeprefix(_TYPE) if type.startswith(_TYPE) else None


def task_in(key: str) -> str:
    """Return the path of the task whose job has that key."""
    return key.partition(" ")[0]
