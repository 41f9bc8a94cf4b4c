"""A Django project of its own process: settings, jobs found in applications, `transaction.atomic()`, and its worker."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import django
import pytest

from tests.lab.servers.postgres import ready_server

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.servers("postgres")


@pytest.fixture
async def environment(tmp_path: Path) -> AsyncIterator[dict[str, str]]:
    server = await ready_server()
    async with server.own_database() as name:
        url = server.url(name)
        parts = urlsplit(url)
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("JOBKIT_")}
        yield {
            **inherited,
            "PYTHONPATH": str(ROOT),
            "DJANGO_SETTINGS_MODULE": "tests.integrations.shop.settings",
            "SHOP_URL": url,
            "SHOP_DATABASE": name,
            "SHOP_PORT": str(parts.port),
            "SHOP_USER": parts.username or "",
            "SHOP_PASSWORD": unquote(parts.password or ""),
        }


def _run(folder: Path, environment: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *words]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
    )


def test_jobs_are_part_of_a_transaction_and_roll_back_with_it(tmp_path: Path, environment: dict[str, str]) -> None:
    done = _run(tmp_path, environment, "-m", "tests.integrations.shop.run")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "the card is refused",
        "no job without an order: ['ann']",
        "this connection is in no transaction: begin one (with transaction.atomic():), call this in it, then commit it",
        "shipped to ann",
        "1",
    ]


def test_a_setting_that_is_wrong_is_named_as_the_project_starts(tmp_path: Path, environment: dict[str, str]) -> None:
    program = (
        "import django; from django.conf import settings; settings.configure("
        "INSTALLED_APPS=['jobkit.integrations.django'], {}); django.setup()"
    )
    wrong = {"JOBKIT_LEASE_TTL=-1": "JOBKIT_LEASE_TTL", "JOBKIT_STOER_URL=''": "no setting JOBKIT_STOER_URL"}
    for setting, said in wrong.items():
        done = _run(tmp_path, environment, "-c", program.format(setting))
        assert done.returncode == 1
        assert "ImproperlyConfigured" in done.stderr
        assert said in done.stderr


@pytest.mark.skipif(django.VERSION < (6,), reason=f"Tasks came with Django 6; this is Django {django.__version__}")
def test_the_tasks_of_django_6_run_as_jobs(tmp_path: Path, environment: dict[str, str]) -> None:
    done = _run(tmp_path, {**environment, "SHOP_TASKS": "1"}, "-m", "tests.integrations.shop.tasks_run")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "System check identified no issues (0 silenced).",
        "the card is refused",
        "no task without an order: False",
        "READY ['ann'] {} True",
        "['count', 'count', 'greet', 'refuse', 'count']",
        "{'orders': 2} 1 True",
        "['hello bob', 1] True",
        "[] {'name': 'bob'} 50 slow",
        "FAILED OutOfStock True",
        "FAILED JobCancelled",
        "TaskResultMismatch",
        "InvalidTask",
    ]
