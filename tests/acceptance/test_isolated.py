"""No process of an attempt outlives its worker, whatever happens to that."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[2]


def _until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_a_worker_that_is_killed_leaves_no_process_behind(tmp_path: Path) -> None:
    told = tmp_path / "pid"
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("JOBKIT_")}
    environment = {**inherited, "JOBKIT_PLUGINS": "tests.acceptance.isolated", "PYTHONPATH": str(ROOT)}
    jobkit = [sys.executable, "-m", "jobkit"]
    payload = f'{{"told": "{told}"}}'
    subprocess.run([*jobkit, "submit", "stay", "--payload", payload], cwd=tmp_path, env=environment, check=True)
    worker = subprocess.Popen([*jobkit, "worker", "stay"], cwd=tmp_path, env=environment)
    try:
        _until(told.exists)
        child = int(told.read_text())
        assert not _gone(child)
        worker.send_signal(signal.SIGKILL)
        worker.wait()
        _until(lambda: _gone(child))
    finally:
        worker.kill()
        worker.wait()
        if told.exists():
            with suppress(ProcessLookupError):
                os.kill(int(told.read_text()), signal.SIGKILL)
