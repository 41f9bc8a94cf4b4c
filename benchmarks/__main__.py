"""Runs the comparison: `python -m benchmarks`, or `make benchmarks`.

One worker process each, one after another, in rounds and in another order each time; what is shown are medians. The
servers are started for it and gone afterwards.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import random
import signal
import statistics
import subprocess
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aio_pika

from benchmarks.chart import draw
from benchmarks.contenders import CONTENDERS, KINDS, Contender
from benchmarks.job import CONCURRENCY, PREFETCH
from jobkit.lab.servers.redis import DURABLE
from jobkit.lab.servers.together import start_together

_LONGEST_SECONDS = 300.0
_EMPTY_SECONDS = 15.0
_POLL_SECONDS = 0.1


class ContenderFailed(Exception):
    """A worker ended, took too long, or left messages behind."""


@dataclass(frozen=True, slots=True)
class Site:
    """Where it runs: the servers, and a directory for results."""

    broker_url: str
    redis_url: str
    directory: Path

    def environment(self, kind: str, jobs: int, result: Path) -> dict[str, str]:
        """Return what a worker and a publisher are told."""
        return {
            **os.environ,
            "BENCHMARKS_BROKER_URL": self.broker_url,
            "BENCHMARKS_KIND": kind,
            "BENCHMARKS_JOBS": str(jobs),
            "BENCHMARKS_RESULT": str(result),
            "JOBKIT_BROKER_URL": self.broker_url,
            "JOBKIT_COORDINATOR_URL": self.redis_url,
            "JOBKIT_STORE_URL": self.redis_url,
            "JOBKIT_BLOBS_URL": f"file://{self.directory / 'blobs'}",
            "JOBKIT_PLUGINS": "benchmarks.on_jobkit",
            "JOBKIT_CONCURRENCY": str(CONCURRENCY),
            "JOBKIT_PREFETCH": str(PREFETCH),
            "JOBKIT_LOG_LEVEL": "warning",
            "dramatiq_queue_prefetch": str(PREFETCH),
        }


@contextmanager
def site() -> Iterator[Site]:
    """Start the servers for the block."""
    with (
        tempfile.TemporaryDirectory(prefix="jobkit-benchmarks-", ignore_cleanup_errors=True) as name,
        ExitStack() as stack,
    ):
        urls = start_together(Path(name), stack, redis_settings=DURABLE, postgres=False).urls
        yield Site(urls["broker"], urls["store"], Path(name))


def measure(where: Site, contender: Contender, kind: str, jobs: int) -> dict[str, float]:
    """Publish, drain with one worker process, and return what it said. Raises `ContenderFailed`."""
    result = where.directory / f"{contender.name}-{kind}.json"
    result.unlink(missing_ok=True)
    environment = where.environment(kind, jobs, result)
    publish = [*contender.worker(kind)[:2], contender.module]
    subprocess.run(publish, env=environment, check=True, stdout=subprocess.DEVNULL)
    with (where.directory / "worker.log").open("w+b") as log:
        worker = subprocess.Popen(
            contender.worker(kind), env=environment, stdout=log, stderr=log, start_new_session=True
        )
        try:
            _wait_for(result, worker)
            asyncio.run(_until_empty(where.broker_url, contender))
        except ContenderFailed as error:
            log.seek(0)
            raise ContenderFailed(f"{contender.name}, {kind}: {error}\n{log.read().decode()[-4000:]}") from error
        finally:
            _end(worker)
    found: dict[str, float] = json.loads(result.read_text())
    return found


def _wait_for(result: Path, worker: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _LONGEST_SECONDS
    while not result.exists():
        if worker.poll() is not None:
            raise ContenderFailed(f"its worker ended with exit code {worker.returncode}")
        if time.monotonic() > deadline:
            raise ContenderFailed(f"not done within {_LONGEST_SECONDS:g} s")
        time.sleep(_POLL_SECONDS)


async def _until_empty(url: str, contender: Contender) -> None:
    """See that everything was acked: who does not do so was not measured doing the same work."""
    async with await aio_pika.connect(url) as connection, connection.channel() as channel:
        deadline = time.monotonic() + _EMPTY_SECONDS
        while True:
            queues = [await channel.declare_queue(name, passive=True) for name in contender.queues]
            left = sum(queue.declaration_result.message_count or 0 for queue in queues)
            if not left:
                return
            if time.monotonic() > deadline:
                raise ContenderFailed(f"{left} messages are left in its queues")
            await asyncio.sleep(_POLL_SECONDS)


def _end(worker: subprocess.Popen[bytes]) -> None:
    """End the worker and whatever it started."""
    worker.terminate()
    with suppress(subprocess.TimeoutExpired):
        worker.wait(_EMPTY_SECONDS)
    with suppress(ProcessLookupError):
        os.killpg(worker.pid, signal.SIGKILL)
    worker.wait()


def compare(jobs: int, rounds: int) -> dict[str, Any]:
    """Run all rounds and return the document that is drawn."""
    runs: defaultdict[tuple[str, str], list[dict[str, float]]] = defaultdict(list)
    rng = random.Random(rounds)  # noqa: S311  (an order, no secret)
    with site() as where:
        for number in range(rounds):
            for kind in KINDS:
                for contender in rng.sample(CONTENDERS, len(CONTENDERS)):
                    found = measure(where, contender, kind, jobs)
                    runs[contender.name, kind].append(found)
                    print(f"round {number + 1}, {kind}, {contender.name}: {found['jobs_per_second']:,.0f} jobs/s")
    return {
        "measured": datetime.now(UTC).strftime("%Y-%m-%d"),
        "machine": f"{os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}",
        "jobs": jobs,
        "rounds": rounds,
        "contenders": [
            {
                "name": contender.name,
                "versions": contender.versions,
                **{kind: _summary(runs[contender.name, kind]) for kind in KINDS},
            }
            for contender in CONTENDERS
        ],
    }


def _summary(runs: list[dict[str, float]]) -> dict[str, Any]:
    rates = [run["jobs_per_second"] for run in runs]
    return {
        "jobs_per_second": round(statistics.median(rates), 1),
        "runs": [round(rate, 1) for rate in rates],
        "cpu_microseconds_per_job": round(statistics.median(run["cpu_microseconds_per_job"] for run in runs), 1),
    }


def main() -> None:
    """Run it as the command line says."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("docs"), help="where the JSON and the chart go")
    said = parser.parse_args()
    found = compare(said.jobs, said.rounds)
    (said.out / "benchmarks.json").write_text(json.dumps(found, indent=2) + "\n")
    draw(found, said.out)


if __name__ == "__main__":
    main()
