"""What every private server shares: a free port, a process group of its own, and an end.

A server runs in a process group of its own and on a leash: when the process that started it ends in any way, even by
SIGKILL, the group is killed. Nothing here is asynchronous; where a loop must go on turning, use a thread.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from jobkit.errors import JobkitError

START_SECONDS = 180.0
STOP_SECONDS = 30.0
_POLL_SECONDS = 0.05
_LOG_TAIL_BYTES = 4000
_PORTS = range(20_000, 32_000)


class ServerMissing(JobkitError):
    """A program that a server is made of is not installed."""


def require(*programs: str, beside: Iterable[Path] = ()) -> list[str]:
    """Return the paths of `programs`, which are on the PATH or in a directory of `beside`. Raises `ServerMissing`."""
    path = os.pathsep.join([os.environ.get("PATH", ""), *map(str, beside)])
    found = {program: shutil.which(program, path=path) for program in programs}
    missing = [program for program, where in found.items() if where is None]
    if missing:
        raise ServerMissing(f"{', '.join(missing)} not found; `make install-servers` installs what is missing")
    return [where for where in found.values() if where is not None]


def free_port() -> int:
    """Return a port of the loopback address for a server of this process, also when it is started again later.

    It lies below those that systems give to whoever connects, which could take it while the server is down. No other
    process is given it while this one lives.
    """
    ports = list(_PORTS)
    random.shuffle(ports)
    for port in ports:
        if _is_free(port) and _reserve(port):
            return port
    raise RuntimeError(f"no port from {_PORTS.start} to {_PORTS.stop - 1} is free")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _reserve(port: int) -> bool:
    """Take a name that goes with the port and ends with this process, if no other has it; only Linux has such names."""
    if sys.platform != "linux":
        return True
    name = socket.socket(socket.AF_UNIX)
    try:
        name.bind(f"\0jobkit-port-{port}")
    except OSError:
        name.close()
        return False
    name.detach()
    return True


def accepts(port: int) -> bool:
    """Return whether something listens on the port of the loopback address."""
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


class ServerProcess:
    """One server: a command, and how to tell that it answers. The same object can be started again and again."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        answers: Callable[[], bool],
        log: Path,
        environment: Mapping[str, str] | None = None,
        user: str | None = None,
    ) -> None:
        self._command = list(command)
        self._answers = answers
        self._log = log
        self._environment = {**os.environ, **(environment or {})}
        self._user = user
        self._process: subprocess.Popen[bytes] | None = None
        self._leash: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> bool:
        """Return whether the process is alive, stopped or not."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the server and return once it answers. Does nothing where it runs already."""
        if self.running:
            return
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                user=self._user,
                start_new_session=True,
            )
        # It reads from a pipe that nobody writes to, and whose other end closes with this process.
        self._leash = subprocess.Popen(
            ["/bin/sh", "-c", f"read -r _; kill -s KILL -- -{self._process.pid}"],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )
        self._wait_until_it_answers()

    def stop(self) -> None:
        """Ask the server to end, as its operator would, and wait until it has."""
        self.resume()
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Kill the server and all its processes at once, as a crash would."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """Stop the server's processes where they are; connections stay open and nothing answers."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Resume a paused server."""
        self._signal(signal.SIGCONT)

    def restart(self) -> None:
        """Stop the server and start it again with the same data."""
        self.stop()
        self.start()

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if not self.running or time.monotonic() > deadline:
                what = "does not answer" if self.running else "ended at its start"
                self.kill()
                raise RuntimeError(f"{self._command[0]} {what}; its log ends with:\n{self._log_tail()}")
            time.sleep(_POLL_SECONDS)

    def _log_tail(self) -> str:
        return self._log.read_bytes()[-_LOG_TAIL_BYTES:].decode(errors="replace")

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self.running:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)

    def _end(self, number: signal.Signals) -> None:
        process, leash = self._process, self._leash
        if process is None or leash is None:
            return
        if number is signal.SIGTERM:
            # To the first process only: it knows in which order the others end.
            with suppress(ProcessLookupError):
                process.send_signal(number)
            with suppress(subprocess.TimeoutExpired):
                process.wait(STOP_SECONDS)
        # What is left of the group, whatever became of its first process.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        leash.kill()
        leash.wait()
        if leash.stdin is not None:
            leash.stdin.close()
        self._process = self._leash = None
