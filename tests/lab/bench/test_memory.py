"""The memory of another process is read right, by either way."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from jobkit.lab.bench.memory import resident_bytes

_HELD_BYTES = 64 << 20
_HOLDER = f"held = b'x' * {_HELD_BYTES}; print('held', flush=True); input()"


@pytest.fixture
def holder() -> Iterator[subprocess.Popen[bytes]]:
    """A process that holds memory and waits."""
    command = [sys.executable, "-c", _HOLDER]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        yield process
        process.kill()


@pytest.mark.parametrize("proc", [Path("/proc"), Path("/nowhere")], ids=["proc", "ps"])
def test_resident_memory_is_what_the_system_says(holder: subprocess.Popen[bytes], proc: Path) -> None:
    found = resident_bytes(holder.pid, proc=proc)
    assert found > _HELD_BYTES
    assert found == pytest.approx(psutil.Process(holder.pid).memory_info().rss, rel=0.1)


@pytest.mark.parametrize("proc", [Path("/proc"), Path("/nowhere")], ids=["proc", "ps"])
def test_a_process_that_has_ended_uses_none(holder: subprocess.Popen[bytes], proc: Path) -> None:
    holder.kill()
    holder.wait()
    assert resident_bytes(holder.pid, proc=proc) == 0
