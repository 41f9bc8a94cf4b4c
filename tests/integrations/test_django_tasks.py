"""What Django 6 is told of its Tasks at odd moments; each case is a project in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import django
import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(
    django.VERSION < (6,), reason=f"Tasks came with Django 6; this is Django {django.__version__}"
)


def _said(folder: Path, case: str) -> list[str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("JOBKIT_", "DJANGO_"))}
    command = [sys.executable, "-m", "tests.integrations.shop.tasks_alone", case]
    done = subprocess.run(
        command,
        cwd=folder,
        env={**inherited, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_a_task_that_ends_while_it_is_asked_for_has_ended(tmp_path: Path) -> None:
    assert _said(tmp_path, "one_ends_meanwhile") == ["FAILED"]


def test_a_queue_that_two_backends_have_is_an_error(tmp_path: Path) -> None:
    (said,) = _said(tmp_path, "two_have_one_queue")
    assert "(jobkit.E003) TASKS: queues default of 'patient'" in said


def test_a_backend_that_is_made_of_ours_has_its_processors(tmp_path: Path) -> None:
    assert _said(tmp_path, "one_is_made_of_ours") == ["('jobkit.integrations.django.task_jobs',)"]


def test_who_is_told_of_a_task_has_its_error_and_cannot_undo_it(tmp_path: Path) -> None:
    assert _said(tmp_path, "a_receiver_reports") == [
        "FAILED [('OutOfStock', True)] True",
        "closed",
        "OutOfStock",
        "SUCCESSFUL [] True",
        "closed",
        "2",
    ]
