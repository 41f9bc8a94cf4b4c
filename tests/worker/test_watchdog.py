"""The watchdog: a thread that tells when the event loop stands still. In real time, with a clock of the test's own."""

from __future__ import annotations

import threading
import time

import pytest

from jobkit.model.clock import SystemClock
from jobkit.telemetry import Telemetry
from jobkit.worker.watchdog import Watchdog
from tests.witness import Witness


class _HandClock(SystemClock):
    """Time that the test sets."""

    def __init__(self) -> None:
        self.time = 100.0

    def now(self) -> float:
        return self.time


class _Reports(Telemetry):
    """Telemetry that tells a waiting test of each report."""

    def __init__(self) -> None:
        super().__init__()
        self.stalls: list[tuple[float, str]] = []
        self.told = threading.Semaphore(0)

    def loop_blocked(self, seconds: float, stack: str) -> None:
        self.stalls.append((seconds, stack))
        self.told.release()


def test_the_loop_turns_while_it_beats_often_enough() -> None:
    clock = _HandClock()
    watchdog = Watchdog(clock, 5.0, Telemetry())
    assert watchdog.interval < 5.0
    clock.time += 4.9
    seen = [watchdog.turning]
    clock.time += 0.1
    seen.append(watchdog.turning)
    watchdog.beat()
    seen.append(watchdog.turning)
    assert seen == [True, False, True]


def test_a_stall_is_reported_once_with_what_the_loop_was_doing() -> None:
    clock, reports = _HandClock(), _Reports()
    watchdog = Watchdog(clock, 0.04, reports)
    with watchdog.watching():
        clock.time += 9
        assert reports.told.acquire(timeout=10)
        assert not reports.told.acquire(timeout=0.1), "one stall is one report"
        watchdog.beat()
        clock.time += 7
        assert reports.told.acquire(timeout=10), "the next stall is another"
    (first, stack), (second, _) = reports.stalls
    assert (first, second) == (9, 7)
    assert "test_a_stall_is_reported_once" in stack


def test_no_thread_is_left_behind() -> None:
    watchdog = Watchdog(_HandClock(), 0.04, Telemetry())
    with pytest.raises(RuntimeError, match="on purpose"), watchdog.watching():
        raise RuntimeError("on purpose")
    assert "jobkit-watchdog" not in {thread.name for thread in threading.enumerate()}


def test_a_blocked_loop_is_loud() -> None:
    witness = Witness()
    watchdog = Watchdog(SystemClock(), 0.02, witness.telemetry)
    with watchdog.watching():
        deadline = time.monotonic() + 10
        while not witness.count("jobkit.loop.blocked"):
            # Not a wait for time to pass: this is the blocking call that must be noticed.
            time.sleep(0.01)
            assert time.monotonic() < deadline
    assert witness.lines("event loop blocked: a processor must not block it")[0]["log_level"] == "error"
