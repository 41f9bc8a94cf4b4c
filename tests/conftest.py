"""Which tests run: those that need a server which is not installed are left out, and fail in CI (`CI=true`).

`@pytest.mark.servers("redis", ...)` says what a test needs; whole folders are in `tests/installed.py`. Without any
server (`make test-fast`) that is `-m "not servers and not slow"`.
"""

from __future__ import annotations

import functools
import gc
import os
import signal

import pytest
from hypothesis import HealthCheck, settings

from tests.installed import SERVERS, give_up, is_slow, missing, needed_by

# A shell starts what runs in its background with SIGINT ignored, and children inherit that: then no Ctrl-C that a test
# sends would arrive.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# No test fails because a machine is busy. In CI, hypothesis has a profile that says the same.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
if "CI" not in os.environ:
    settings.load_profile("unhurried")

_missing = functools.cache(missing)


def pytest_report_header() -> list[str]:
    """Say what is left out, and why."""
    return [f"left out: {reason}" for reason in map(_missing, SERVERS) if reason is not None]


# Before `-m` selects by them.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of the folders that need servers, or time."""
    for item in items:
        needed = needed_by(item.path)
        if needed:
            item.add_marker(pytest.mark.servers(*needed))
        if is_slow(item.path):
            item.add_marker(pytest.mark.slow)


def pytest_collection_finish() -> None:
    """Have the garbage collector leave alone, from now on, the thousands of tests that there are until the end."""
    gc.collect()
    gc.freeze()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Leave a test out where a server that it needs is missing."""
    for mark in item.iter_markers("servers"):
        for name in mark.args:
            reason = _missing(name)
            if reason is not None:
                give_up(reason)
