"""The processes of the demo: `jobkit` commands, workers, and making sure that none of them is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from jobkit.errors import JobkitError

# How long a worker that was told to end at once may take.
_END_SECONDS = 10.0


class DemoFailed(JobkitError):
    """Something is not as it should be; the message says what."""


@dataclass(frozen=True, slots=True)
class WorkerProcess:
    """One `jobkit worker`."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def require_running(self) -> None:
        """Raise `DemoFailed` where it ended by itself."""
        if self.process.poll() is not None:
            raise DemoFailed(f"{self.name} ended with exit code {self.process.returncode}\n{tail(self.log)}")


class Jobkit:
    """The `jobkit` command with the settings of some files. The environment wins over them, so it must name none."""

    def __init__(self, env_files: Sequence[Path]) -> None:
        for env_file in env_files:
            if not env_file.is_file():
                raise DemoFailed(f"{env_file} is not here: run the demo from the project's folder")
        self._options = [word for env_file in env_files for word in ("--env-file", str(env_file))]
        self._command = [sys.executable, "-m", "jobkit", *self._options]

    def typed(self, *arguments: str) -> str:
        """Return a command as a user would type it."""
        return " ".join(["jobkit", *self._options, *arguments])

    def run(self, *arguments: str) -> str:
        """Run a command and return what it printed. Raises `DemoFailed` where it fails."""
        done = self.attempt(*arguments)
        if done.returncode != 0:
            said = f"{done.stdout}{done.stderr}"
            raise DemoFailed(f"jobkit {arguments[0]} ended with exit code {done.returncode}:\n{said}")
        return done.stdout

    def attempt(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, however it ends."""
        return subprocess.run([*self._command, *arguments], capture_output=True, text=True, check=False)

    def start_worker(self, name: str, logs: Path, scratch: Path, types: Sequence[str]) -> WorkerProcess:
        """Start a worker, with its log in a file of that name, and its temporary files in `scratch`."""
        log = logs / f"{name}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*self._command, "worker", *types],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, "TMPDIR": str(scratch.resolve())},
                # Ctrl-C is meant for the demo, which ends its workers itself.
                start_new_session=True,
            )
        return WorkerProcess(name, process, log)


@contextmanager
def running_workers(
    jobkit: Jobkit, count: int, logs: Path, scratch: Path, types: Sequence[str]
) -> Iterator[list[WorkerProcess]]:
    """Run workers during the block; whatever happens, none of them is left behind."""
    workers: list[WorkerProcess] = []
    try:
        while len(workers) < count:
            workers.append(jobkit.start_worker(f"worker-{len(workers) + 1}", logs, scratch, types))
        yield workers
    finally:
        end_at_once([worker.process for worker in workers])


def end_at_once(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """End workers without waiting for their jobs: each is told twice, which cancels what it runs, then killed."""
    for _ in range(2):
        running = [process for process in processes if process.poll() is None]
        for process in running:
            process.send_signal(signal.SIGTERM)
            # One that was paused hears of nothing.
            process.send_signal(signal.SIGCONT)
        if running:
            # Signals that are sent at once may arrive as one.
            time.sleep(0.3)
    deadline = time.monotonic() + _END_SECONDS
    for process in processes:
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def ffmpegs_within(*directories: Path) -> list[psutil.Process]:
    """Return the ffmpeg processes that work in a folder below one of `directories`."""
    inside = [directory.resolve() for directory in directories]
    return [
        process
        for process in psutil.process_iter(["name", "cwd"])
        # Both are empty for a process that ended meanwhile, or is somebody else's.
        if (process.info["name"] or "").startswith("ffmpeg")
        and process.info["cwd"]
        and any(Path(process.info["cwd"]).is_relative_to(directory) for directory in inside)
    ]


def end_those_left(processes: Sequence[psutil.Process], seconds: float = 5.0) -> list[int]:
    """Give processes `seconds` to end by themselves; kill those that do not, and return their ids."""
    _, left = psutil.wait_procs(processes, timeout=seconds)
    for process in left:
        process.kill()
    return [process.pid for process in left]


def tail(log: Path, lines: int = 15) -> str:
    """Return the last lines of a worker's log."""
    return "\n".join([f"{log} ends:", *log.read_text(errors="replace").splitlines()[-lines:]])
