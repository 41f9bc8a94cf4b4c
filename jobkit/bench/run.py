"""The benchmark: fill the queues, let one worker process drain them, then watch latency at a steady rate.

Everything goes the whole way with full safety: outbox, lease, fence, verified durable commit, ack. Latency is from
`submit` being called to the commit, as the records of the jobs tell it, on this machine's wall clock.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import anyio
import anyio.abc
import psutil

from jobkit.bench.noop import TYPE, Noop
from jobkit.client import Client
from jobkit.clock import Clock
from jobkit.errors import JobkitError, WaitTimeout
from jobkit.ports.inspection import JobState
from jobkit.ports.planes import Planes

_BATCH = 500
_POLL_SECONDS = 0.2
# A benchmark that makes no progress for so long has failed.
_STALL_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Plan:
    """How much to do: `jobs` to drain over `keys` keys, then `rate` jobs per second for `seconds`."""

    jobs: int = 20_000
    keys: int = 10_000
    rate: float = 100.0
    seconds: float = 10.0


@dataclass(frozen=True, slots=True)
class MemoryPoint:
    """The worker's resident memory, in bytes, once so many jobs had committed."""

    committed: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds from submit to commit, of `count` jobs."""

    count: int
    p50: float
    p90: float
    p99: float
    max: float


@dataclass(frozen=True, slots=True)
class Report:
    """What was measured. Rates are jobs per second."""

    jobs: int
    publish_rate: float
    drain_rate: float
    drain_seconds: float
    latency: Latency
    memory: Sequence[MemoryPoint]

    @property
    def memory_growth(self) -> float:
        """By what share memory grew from a quarter of the drain to its end."""
        early = next(point for point in self.memory if point.committed >= self.jobs / 4)
        return self.memory[-1].bytes / early.bytes - 1


class BenchFailed(JobkitError):
    """The benchmark's worker ended, or jobs did not commit."""


async def run_bench(
    planes: Planes, client: Client, clock: Clock, plan: Plan, environment: dict[str, str], tell: Callable[[str], None]
) -> Report:
    """Run the benchmark and return its report; `environment` is what its worker process is started with.

    Raises `BenchFailed`.
    """
    tell(f"publishing {plan.jobs} jobs")
    started = clock.now()
    await _publish(client, plan)
    publish_rate = plan.jobs / (clock.now() - started)
    tell("draining them with one worker process")
    async with _worker(environment) as worker:
        memory, drain_seconds, drained = await _drain(planes, clock, plan, worker)
        tell(f"submitting {plan.rate:g} jobs/s for {plan.seconds:g} s")
        latency = await _steady(client, clock, plan)
    return Report(plan.jobs, publish_rate, drained / drain_seconds, drain_seconds, latency, memory)


async def _publish(client: Client, plan: Plan) -> None:
    for start in range(0, plan.jobs, _BATCH):
        numbers = range(start, min(start + _BATCH, plan.jobs))
        await client.submit_many([client.job(TYPE, Noop(on=f"key-{number % plan.keys}")) for number in numbers])


@asynccontextmanager
async def _worker(environment: dict[str, str]) -> AsyncIterator[anyio.abc.Process]:
    command = [sys.executable, "-m", "jobkit", "worker", TYPE]
    process = await anyio.open_process(
        command, env={**os.environ, **environment}, stdout=subprocess.DEVNULL, stderr=None
    )
    try:
        yield process
    finally:
        with anyio.CancelScope(shield=True):
            if process.returncode is None:
                process.terminate()
            await process.wait()


async def _drain(
    planes: Planes, clock: Clock, plan: Plan, worker: anyio.abc.Process
) -> tuple[list[MemoryPoint], float, int]:
    """Watch until all is committed; return memory over time, and how long how many of the jobs took."""
    process = psutil.Process(worker.pid)
    memory: list[MemoryPoint] = []
    first: tuple[float, int] | None = None
    last_progress, committed = clock.now(), 0
    while committed < plan.jobs:
        await clock.sleep(_POLL_SECONDS)
        if worker.returncode is not None:
            raise BenchFailed(f"the worker ended with exit code {worker.returncode}; its messages are above")
        now, before = clock.now(), committed
        committed = (await planes.inspection.counts()).jobs.get(JobState.COMMITTED, 0)
        if committed > before:
            last_progress = now
            memory.append(MemoryPoint(committed, process.memory_info().rss))
            first = first or (now, committed)
        elif now - last_progress > _STALL_SECONDS:
            raise BenchFailed(f"no job committed for {_STALL_SECONDS:g} s; {committed} of {plan.jobs} had")
    began, already = first or (last_progress, 0)
    if committed == already:
        # So few that the first look saw them all: count from when the worker was started.
        return memory, max(last_progress - began, _POLL_SECONDS), committed
    return memory, last_progress - began, committed - already


async def _steady(client: Client, clock: Clock, plan: Plan) -> Latency:
    """Submit at an even rate, then return how long each took to its commit."""
    ids: list[str] = []
    began = clock.now()
    count = int(plan.rate * plan.seconds)

    async def submit(number: int) -> None:
        submission = await client.submit(TYPE, Noop(on=f"steady-{number}"))
        ids.append(submission.id)

    async with anyio.create_task_group() as submits:
        for number in range(count):
            await clock.sleep(max(0.0, began + number / plan.rate - clock.now()))
            submits.start_soon(submit, number)
    milliseconds = []
    for id in ids:
        last = [record async for record in client.watch(id, timeout=_STALL_SECONDS)][-1]
        if last.state is JobState.COMMITTED and last.finished_at is not None:
            milliseconds.append((last.finished_at - last.submitted_at) * 1000)
    if len(milliseconds) < count:
        raise WaitTimeout(f"only {len(milliseconds)} of {count} jobs committed")
    milliseconds.sort()
    cuts = statistics.quantiles(milliseconds, n=100, method="inclusive")
    return Latency(count, cuts[49], cuts[89], cuts[98], milliseconds[-1])
