"""What a view of a Django 6 project would do with its Tasks: jobkit runs them, in the project's own transactions."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from datetime import timedelta
from typing import Any

import django
from django.core.management import call_command
from django.db import connection, transaction
from django.tasks.exceptions import InvalidTask, TaskResultDoesNotExist, TaskResultMismatch
from django.tasks.signals import task_enqueued
from django.utils import timezone

from jobkit.integrations.django import client


def main() -> None:
    django.setup()
    from tests.integrations.shop.models import Order
    from tests.integrations.shop.tasks import count, greet, refuse

    call_command("check")
    told: list[str] = []
    task_enqueued.connect(lambda task_result, **_: told.append(task_result.task.name), weak=False)
    with connection.schema_editor() as editor:
        editor.create_model(Order)
    with transaction.atomic():
        Order.objects.create(customer="ann")
        counted = count.enqueue("ann", times=2)
    try:
        with transaction.atomic():
            lost = count.enqueue("bob")
            raise RuntimeError("the card is refused")
    except RuntimeError as error:
        print(error)
    print("no task without an order:", _known(count, lost.id))
    greeted = greet.enqueue(name="bob")
    failed = refuse.enqueue()
    later = count.using(run_after=timezone.now() + timedelta(hours=1)).enqueue("ann")
    kept = count.get_result(later.id)
    print(kept.status, kept.args, kept.kwargs, kept.task.run_after == later.task.run_after)
    client().cancel(later.id, by="test")
    print(told)
    worker = subprocess.Popen(
        [sys.executable, "-m", "django", "jobkit", "worker", "django-tasks.default", "django-tasks.slow"],
        env=os.environ,
    )
    try:
        for result in (counted, greeted, failed, later):
            _wait(result)
    finally:
        worker.terminate()
        worker.wait()
    print(counted.return_value, counted.attempts, counted.finished_at >= counted.started_at >= counted.enqueued_at)
    print(greeted.return_value[:2], greeted.return_value[2] == greeted.id)
    again = greet.get_result(greeted.id)
    print(again.args, again.kwargs, again.task.priority, again.task.queue_name)
    print(failed.status, failed.errors[0].exception_class.__name__, "no tea" in failed.errors[0].traceback)
    print(later.status, later.errors[0].exception_class.__name__)
    for wrong in (lambda: count.get_result(greeted.id), lambda: count.using(queue_name="nosuch")):
        try:
            wrong()
        except (TaskResultMismatch, InvalidTask) as error:
            print(type(error).__name__)
    client().close()


def _known(task: Any, id: str) -> bool:
    try:
        task.get_result(id)
    except TaskResultDoesNotExist:
        return False
    return True


def _wait(result: Any) -> None:
    deadline = time.monotonic() + 60
    while not result.is_finished and time.monotonic() < deadline:
        time.sleep(0.05)
        result.refresh()


if __name__ == "__main__":
    main()
