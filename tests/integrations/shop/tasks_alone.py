"""A Django 6 project in one process, on a database of its own folder: what its Tasks are told at odd moments."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import django
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.tasks.signals import task_finished

from jobkit.integrations.django import client, tasks
from jobkit.integrations.django.project import project_settings
from jobkit.integrations.django.task_types import TaskRun

OURS = "jobkit.integrations.django.tasks.JobkitBackend"


class MadeOfOurs(tasks.JobkitBackend):
    """A project's own."""


def main(case: str) -> None:
    urls = {f"JOBKIT_{plane}_URL": "sqlite:///jobkit.db" for plane in ("STORE", "BROKER", "COORDINATOR")}
    apps = ["jobkit.integrations.django"]
    settings.configure(INSTALLED_APPS=apps, TASKS=_BACKENDS[case], JOBKIT_BLOBS_URL="file:blobs", **urls)
    django.setup()
    _CASES[case]()


def one_ends_meanwhile() -> None:
    """Have a task end between the two things that are asked of it."""
    from tests.integrations.shop.tasks import refuse

    enqueued, real = refuse.enqueue(), client()

    def payload(id: str) -> Any:
        real.cancel(id, by="test")
        return real.payload(id)

    tasks.client = lambda: SimpleNamespace(status=real.status, payload=payload)  # type: ignore[assignment]
    print(refuse.get_result(enqueued.id).status)
    real.close()


def two_have_one_queue() -> None:
    """Say what `check` says."""
    try:
        call_command("check")
    except SystemCheckError as error:
        print(str(error).splitlines()[3])


def one_is_made_of_ours() -> None:
    """Say where its processors are."""
    print(project_settings().plugins)


def a_receiver_reports() -> None:
    """Report how tasks ended, badly."""
    from django.db import connections

    from jobkit.integrations.django.task_jobs import run_task

    def report(task_result: Any, **_: Any) -> None:
        errors = [(one.exception_class.__name__, "no tea" in one.traceback) for one in task_result.errors]
        print(task_result.status, errors, task_result.finished_at is not None)
        raise RuntimeError("the report is lost")

    task_finished.connect(report)
    closed = connections.close_all
    connections.close_all = lambda: print("closed") or closed()
    for name in ("refuse", "twice"):
        run = TaskRun(id=name, task=f"tests.integrations.shop.tasks.{name}", backend="default", queue="default")
        try:
            print(run_task(run, SimpleNamespace(job=SimpleNamespace(attempt=1))).value)  # type: ignore[arg-type]
        except Exception as error:  # noqa: BLE001  (told)
            print(type(error).__name__)


_QUEUES = {"QUEUES": ["default", "slow"]}
_ONE = {"default": {"BACKEND": OURS, **_QUEUES}}
_BACKENDS = {
    "one_ends_meanwhile": _ONE,
    "two_have_one_queue": {**_ONE, "patient": {"BACKEND": OURS, "OPTIONS": {"attempts": 5}}},
    "one_is_made_of_ours": {"default": {"BACKEND": f"tests.integrations.shop.tasks_alone.{MadeOfOurs.__name__}"}},
    "a_receiver_reports": _ONE,
}
_CASES = {
    each.__name__: each for each in (one_ends_meanwhile, two_have_one_queue, one_is_made_of_ours, a_receiver_reports)
}

if __name__ == "__main__":
    main(sys.argv[1])
