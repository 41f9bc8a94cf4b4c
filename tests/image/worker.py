"""A worker in a container, and asking it how it is."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil

from tests.image.buildah import Image

_START_SECONDS = 60.0


class Worker:
    """One `jobkit worker`, run as the image would be."""

    def __init__(
        self, image: Image, process: subprocess.Popen[str], environment: Mapping[str, str], mounts: Mapping[str, Path]
    ) -> None:
        self._image = image
        self._process = process
        self._environment = environment
        self._mounts = mounts

    def health(self) -> subprocess.CompletedProcess[str]:
        """Ask as an engine would: by the image's own health check."""
        kind, *command = self._image.config["Healthcheck"]["Test"]
        assert kind == "CMD"
        return self._image.run((), environment=self._environment, volumes=self._mounts, program=command)

    def wait_until_healthy(self) -> None:
        """Return once it says that it is; fail where it ends or says nothing."""
        deadline = time.monotonic() + _START_SECONDS
        while (said := self.health()).returncode != 0:
            assert self._process.poll() is None, self._process.communicate()
            assert time.monotonic() < deadline, said

    def terminate(self) -> tuple[int, str]:
        """Send SIGTERM to the container's first process, as an engine does; return the exit code and the log."""
        (first,) = [child for child in psutil.Process(self._process.pid).children(True) if child.name() == "tini"]
        first.send_signal(signal.SIGTERM)
        _, log = self._process.communicate(timeout=60)
        return self._process.returncode, log

    def user(self) -> int:
        """Return which user it runs as."""
        (first,) = [child for child in psutil.Process(self._process.pid).children(True) if child.name() == "tini"]
        return first.uids().real


@contextmanager
def running_worker(
    image: Image, arguments: Sequence[str], environment: Mapping[str, str], mounts: Mapping[str, Path]
) -> Iterator[Worker]:
    """Run a worker for the block; it is healthy when the block begins, and gone after it."""
    process = image.start(arguments, environment=environment, volumes=mounts)
    worker = Worker(image, process, environment, mounts)
    try:
        worker.wait_until_healthy()
        yield worker
    finally:
        if process.poll() is None:
            for child in psutil.Process(process.pid).children(recursive=True):
                child.kill()
            process.kill()
        process.communicate()
