"""The tests' servers end when the tests do."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from jobkit.lab.servers.base import ServerProcess, accepts, free_port

PROGRAM = """
import socket, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(child.pid, flush=True)
with socket.create_server(("127.0.0.1", int(sys.argv[1]))) as listening:
    while True:
        listening.accept()[0].close()
"""


def server(directory: Path) -> tuple[ServerProcess, int]:
    port = free_port()
    command = [sys.executable, "-c", PROGRAM, str(port)]
    return ServerProcess(command, answers=lambda: accepts(port), log=directory / "log"), port


def child_of(directory: Path) -> psutil.Process:
    """Return the process that the server started last started."""
    return psutil.Process(int((directory / "log").read_text().split()[-1]))


def has_ended(process: psutil.Process) -> bool:
    deadline = time.monotonic() + 10
    with suppress(psutil.NoSuchProcess):
        while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.01)
    return True


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_a_server_ends_with_its_children_and_can_start_again(tmp_path: Path, end: str) -> None:
    process, port = server(tmp_path)
    process.start()
    child = child_of(tmp_path)
    getattr(process, end)()
    assert not process.running
    assert has_ended(child)
    process.start()
    assert accepts(port)
    process.kill()


def test_a_server_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from tests.lab.servers.test_base import server; "
        "started, _ = server(Path(sys.argv[1])); started.start(); print('up', flush=True); sys.stdin.read()"
    )
    owner = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    with owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"up\n"
        child = child_of(tmp_path)
        owner.send_signal(signal.SIGKILL)
    assert has_ended(child)


def test_a_program_that_ends_at_its_start_is_reported_with_its_log(tmp_path: Path) -> None:
    process = ServerProcess(
        [sys.executable, "-c", "raise SystemExit('no such option')"], answers=lambda: False, log=tmp_path / "log"
    )
    with pytest.raises(RuntimeError, match="no such option"):
        process.start()


def test_a_port_is_given_to_no_other_process_and_to_nobody_who_connects(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("random.shuffle", lambda _: None)
    program = (
        "import random; random.shuffle = lambda _: None; from jobkit.lab.servers.base import *; print(free_port())"
    )
    ours = free_port()
    theirs = int(subprocess.check_output([sys.executable, "-c", program], text=True, timeout=60))
    assert ours != theirs
    assert max(ours, theirs) < 32_768
