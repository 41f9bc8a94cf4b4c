"""Child processes for tests: Python modules run apart, where they may be killed or starved of disk."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT_SECONDS = 240


def python(module: str, *arguments: object) -> list[str]:
    """Return the command that runs a module of the tests."""
    return [sys.executable, "-m", module, *(str(argument) for argument in arguments)]


def environment() -> dict[str, str]:
    """Return a child's environment, in which it finds the tests."""
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def run(command: list[str]) -> str:
    """Run a command to its end and return what it printed; fail with what it complained of."""
    done = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=TIMEOUT_SECONDS)
    assert done.returncode == 0, f"{command} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def own_mounts(script: str) -> list[str]:
    """Return the command that runs a shell script where it may mount file systems that nobody else sees."""
    unshare = shutil.which("unshare")
    if unshare is None:
        pytest.skip("needs `unshare`, to mount a small disk")
    probe = subprocess.run([unshare, "-Urm", "true"], capture_output=True, timeout=TIMEOUT_SECONDS)
    if probe.returncode != 0:
        pytest.skip("this machine does not let its users mount")
    return [unshare, "-Urm", "sh", "-euc", script]
