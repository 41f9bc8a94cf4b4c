"""Which tests run: where no servers are installed, those that start RabbitMQ, Redis, PostgreSQL or S3 are left out.

In CI (`CI=true`) that is an error instead.
"""

from __future__ import annotations

import os
import signal

import pytest

from jobkit.lab.servers.base import ServerMissing, require
from jobkit.lab.servers.postgres import installed_programs
from jobkit.lab.servers.s3 import s3_program


def _missing() -> str | None:
    try:
        require(
            "redis-server", "rabbitmq-server", "epmd", "erl_call", "initdb", "postgres", beside=installed_programs()
        )
        s3_program()
    except ServerMissing as error:
        return str(error)
    return None


MISSING = _missing()
if MISSING and os.environ.get("CI"):
    raise pytest.UsageError(MISSING)

SERVERS_WANTED = MISSING is None

collect_ignore = (
    []
    if SERVERS_WANTED
    else ["campaign", "servers", "backends/postgres", "backends/rabbitmq", "backends/redis", "backends/s3"]
)

# A shell starts what runs in its background with SIGINT ignored, and children inherit that: then no Ctrl-C that a test
# sends would arrive.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_report_header() -> list[str]:
    """Say what is left out, and why."""
    return [f"without the distributed backends: {MISSING}"] if MISSING else []
