"""Which servers tests can start here: a test says what it needs, and is skipped alone where that is missing.

Where nothing may be skipped (`CI=true`) it fails instead.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from jobkit.lab.servers.base import ServerMissing, require
from jobkit.lab.servers.postgres import installed_programs
from jobkit.lab.servers.s3 import s3_program

# How each is looked for. promtool is no server, but comes and is missed like one.
SERVERS: Mapping[str, Callable[[], object]] = {
    "rabbitmq": lambda: require("rabbitmq-server", "epmd", "erl_call"),
    "redis": lambda: require("redis-server"),
    "postgres": lambda: require("initdb", "postgres", "pg_isready", "pg_ctl", beside=installed_programs()),
    "s3": s3_program,
    "promtool": lambda: require("promtool"),
}
# What all tests of a folder need.
FOLDERS: Mapping[str, tuple[str, ...]] = {
    "backends/postgres": ("postgres",),
    "backends/rabbitmq": ("rabbitmq",),
    "backends/redis": ("redis",),
    "backends/s3": ("s3",),
    "campaign": ("rabbitmq", "redis", "postgres"),
    "cluster": ("rabbitmq",),
}
# Where tests wait for real processes, videos or thousands of schedules: no part of `make test-fast`.
SLOW_FOLDERS = (
    *("acceptance", "backends", "browser", "campaign", "cli", "cluster", "demo", "examples", "image", "lab", "media"),
    *("newer", "observability", "simulation", "transcode", "uploads"),
)
_TESTS = Path(__file__).parent


@functools.cache
def is_slow(path: Path) -> bool:
    """Return whether the tests of a file take long for the folder that it is in."""
    return path.is_relative_to(_TESTS) and path.relative_to(_TESTS).parts[0] in SLOW_FOLDERS


@functools.cache
def needed_by(path: Path) -> tuple[str, ...]:
    """Return what the tests of a file need for the folder that it is in."""
    inside = path.relative_to(_TESTS).as_posix() if path.is_relative_to(_TESTS) else ""
    return next((names for folder, names in FOLDERS.items() if inside.startswith(f"{folder}/")), ())


def missing(name: str) -> str | None:
    """Return what to say of a server that cannot be started here, or nothing where it can."""
    try:
        SERVERS[name]()
    except ServerMissing as error:
        return f"no {name}: {error}"
    return None


def give_up(reason: str) -> None:
    """Skip the test that runs, or fail it where nothing may be skipped."""
    if os.environ.get("CI"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)
