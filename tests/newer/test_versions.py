"""What `make test-newer` runs on is what it says: a test that finds an old server beside it proves nothing."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from jobkit.lab.servers.base import require
from jobkit.lab.servers.postgres import installed_programs
from jobkit.lab.servers.rabbitmq import shared_server

_WHICH = os.environ.get("NEWER", "")
pytestmark = pytest.mark.skipif(not _WHICH, reason="`make test-newer` runs it")


def _version(*command: str) -> tuple[int, ...]:
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.search(r"(?:v=|\) )(\d+)\.(\d+)", said)
    assert found is not None, said
    return tuple(map(int, found.groups()))


def test_python_is_newer() -> None:
    assert sys.version_info >= (3, 13)


def test_postgres_is_newer() -> None:
    assert _version(*require("postgres", beside=installed_programs()), "--version") >= (17, 0)


def test_redis_is_newer_or_is_valkey() -> None:
    (program,) = require("redis-server")
    assert _version(program, "--version") >= (8, 0)
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    assert said.startswith("Valkey" if _WHICH == "valkey" else "Redis")


def test_rabbitmq_is_newer() -> None:
    assert shared_server().call("rabbit_misc:version()").strip('"') >= "4."
