"""Who takes part: how each one's worker is started, and what it keeps the caller safe from."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version

from benchmarks.job import CONCURRENCY, PREFETCH, THREADS

NOOP, IO = "noop", "io"
KINDS = (NOOP, IO)


@dataclass(frozen=True, slots=True)
class Contender:
    """One framework; `queues` are those that must be empty in the end."""

    name: str
    packages: tuple[str, ...]
    module: str
    worker: Callable[[str], Sequence[str]]
    queues: tuple[str, ...]

    @property
    def versions(self) -> dict[str, str]:
        """Which versions take part."""
        return {package: version(package) for package in self.packages}


def _python(*arguments: object) -> list[str]:
    return [sys.executable, "-m", *map(str, arguments)]


def _celery(kind: str) -> list[str]:
    pool = ["--pool", "solo"] if kind == NOOP else ["--pool", "threads", "--concurrency", THREADS]
    quiet = ["--loglevel", "error", "--without-gossip", "--without-mingle", "--without-heartbeat"]
    return _python("celery", "-A", "benchmarks.on_celery", "worker", *pool, *quiet)


def _dramatiq(kind: str) -> list[str]:
    return _python("dramatiq", "benchmarks.on_dramatiq", "--processes", 1, "--threads", 8 if kind == NOOP else THREADS)


def _taskiq(_kind: str) -> list[str]:
    bounds = ["--max-async-tasks", CONCURRENCY, "--max-prefetch", PREFETCH, "--ack-type", "when_executed"]
    return _python("taskiq", "worker", "benchmarks.on_taskiq:broker", "--workers", 1, *bounds, "--log-level", "ERROR")


CONTENDERS = (
    Contender(
        "jobkit",
        ("jobkit-fenced",),
        "benchmarks.on_jobkit",
        lambda _: _python("jobkit", "worker", "benchmarks.job"),
        tuple(f"jobkit.benchmarks.job.{number}" for number in range(8)),
    ),
    Contender("Celery", ("celery", "kombu"), "benchmarks.on_celery", _celery, ("benchmarks-celery",)),
    Contender("Dramatiq", ("dramatiq",), "benchmarks.on_dramatiq", _dramatiq, ("benchmarks-dramatiq",)),
    Contender("Taskiq", ("taskiq", "taskiq-aio-pika"), "benchmarks.on_taskiq", _taskiq, ("benchmarks-taskiq",)),
    Contender(
        "FastStream",
        ("faststream",),
        "benchmarks.on_faststream",
        lambda _: _python("benchmarks.on_faststream", "worker"),
        ("benchmarks-faststream",),
    ),
)
