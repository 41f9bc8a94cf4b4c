"""What steering costs: `python -m benchmarks.steering [sqlite|redis|postgres]...`, on private servers.

COUNT (100,000) is how many are cancelled and released, WAITING (1,000,000) how many are scheduled and wait. MEASURES
("cancel late wait release") says what is measured. Each store has its own run; the figures are in docs/benchmarks.md.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import anyio

from jobkit import Context, Payload, processor
from jobkit.backends.registry import open_planes
from jobkit.client import Client
from jobkit.client.layouts import Layouts
from jobkit.client.relay import Relay
from jobkit.client.schedules import entries_of
from jobkit.lab.bench.place import place_for
from jobkit.lab.servers.store_server import StoreServer
from jobkit.model.clock import SystemClock
from jobkit.plugin.registry import Registry
from jobkit.ports.inspection import JobState
from jobkit.ports.planes import Planes
from jobkit.settings import Settings
from jobkit.telemetry import Telemetry
from jobkit.telemetry.logging import configure_logging
from jobkit.worker import Worker

JOBS = int(os.environ.get("COUNT") or 100_000)
WAITING = int(os.environ.get("WAITING") or 1_000_000)
# Due one after another over so many seconds, at a rate that one worker keeps up with.
LATE_JOBS, LATE_SECONDS = 1_000, 40.0
_AT_ONCE = 500
_PAGE = 250
_LOOKS = 50
_FAR = timedelta(days=365)

CANCELLED, RELEASED, WAITS, LATE = "steering.cancelled", "steering.released", "steering.waits", "steering.late"


class Number(Payload):
    """Which job it is; each is on a key of its own."""

    number: int


async def _nothing(_job: Number, _ctx: Context) -> None:
    """Do nothing."""


_REGISTRY = Registry(
    [processor(type, key=lambda job: str(job.number))(_nothing) for type in (CANCELLED, RELEASED, WAITS, LATE)]
)


@dataclass(frozen=True, slots=True)
class Bench:
    """One store's run."""

    planes: Planes
    settings: Settings

    @property
    def client(self) -> Client:
        """A client of these planes."""
        return Client(self.planes, _REGISTRY, self.settings)

    @property
    def relay(self) -> Relay:
        """A relay, as a worker has one."""
        return Relay(
            self.planes.store,
            self.planes.broker,
            layouts=Layouts(self.planes.store, self.settings.partitions, SystemClock()),
            clock=SystemClock(),
            telemetry=Telemetry(),
        )

    async def submit(self, type: str, count: int, at: Callable[[int], datetime] | None = None) -> None:
        """Submit jobs, each to run at its time."""
        client = self.client
        for start in range(0, count, _AT_ONCE):
            numbers = range(start, min(start + _AT_ONCE, count))
            await client.submit_many(
                [client.job(type, Number(number=number), at=None if at is None else at(number)) for number in numbers]
            )


async def _cancel(bench: Bench) -> None:
    await bench.submit(CANCELLED, JOBS)
    began = time.monotonic()
    cancelled = await bench.client.cancel_all(CANCELLED, states=[JobState.QUEUED])
    took = time.monotonic() - began
    print(f"  cancel of {cancelled:,} queued jobs by type: {took:.1f} s", flush=True)


async def _release(bench: Bench) -> None:
    """Release what is due in one second, beside accepting and publishing as many that run at once."""
    store, relay = bench.planes.store, bench.relay
    await bench.planes.broker.declare(RELEASED, bench.settings.partitions)
    accepted = time.monotonic()
    published = await _publish(bench, relay)
    # By then all of them are accepted.
    due = datetime.now(UTC) + timedelta(seconds=5 + 2 * (time.monotonic() - accepted))
    places = random.Random(1).sample(range(JOBS), JOBS)  # noqa: S311  (an order, no secret)
    await bench.submit(RELEASED, JOBS, lambda number: due + timedelta(seconds=places[number] / JOBS))
    await anyio.sleep(max(0.0, due.timestamp() + 1.0 - time.time()))
    times: list[int] = []
    began = time.monotonic()
    while page := await store.release_due(limit=_PAGE):
        times += [places[json.loads(entry.envelope.body)["number"]] for entry in page]
        await relay.publish(page)
    took = time.monotonic() - began
    order = "in order of due time" if times == sorted(times) else "OUT OF ORDER"
    print(
        f"  {len(times):,} jobs due in one second: released and published at {len(times) / took:,.0f}/s, {order}; "
        f"accepted and published where they run at once: {published:,.0f}/s",
        flush=True,
    )


async def _publish(bench: Bench, relay: Relay) -> float:
    """Return how many a second are accepted and published that are to run at once, in pages of the same size."""
    client, seconds = bench.client, 0.0
    for start in range(0, JOBS, _PAGE):
        numbers = range(start, min(start + _PAGE, JOBS))
        jobs = [client.job(RELEASED, Number(number=number)) for number in numbers]
        began = time.monotonic()
        await relay.publish(entries_of(await bench.planes.store.submit(jobs)))
        seconds += time.monotonic() - began
    return JOBS / seconds


async def _wait(bench: Bench) -> None:
    """Look for what is due, beside more and more that is not."""

    async def look() -> float:
        return await _median(lambda: bench.planes.store.release_due(limit=_PAGE))

    before = await look()
    far = datetime.now(UTC) + _FAR
    await bench.submit(WAITS, WAITING, lambda number: far + timedelta(seconds=number % 86_400))
    print(f"  a look for what is due: {before:.2f} ms; with {WAITING:,} scheduled: {await look():.2f} ms", flush=True)


async def _late(bench: Bench) -> None:
    """Have one worker run jobs that are due one after another."""
    begin = datetime.now(UTC) + timedelta(seconds=5)
    due = [begin + timedelta(seconds=LATE_SECONDS * number / LATE_JOBS) for number in range(LATE_JOBS)]
    await bench.submit(LATE, LATE_JOBS, lambda number: due[number])
    worker = Worker(bench.planes, _REGISTRY, [LATE], bench.settings, watchdog=False)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(worker.run)
        while True:
            jobs = await bench.planes.inspection.jobs(type=LATE, limit=LATE_JOBS)
            if all(job.state.ended for job in jobs):
                break
            await anyio.sleep(1.0)
        worker.drain()
    late = sorted((job.started_at or 0.0) - due[int(job.key)].timestamp() for job in jobs)
    p50, p99 = late[len(late) // 2], late[len(late) * 99 // 100]
    print(
        f"  from due to begun, {LATE_JOBS:,} jobs in {LATE_SECONDS:g} s: p50 {p50:.2f} s, p99 {p99:.2f} s", flush=True
    )


async def _median(ask: Callable[[], Awaitable[object]]) -> float:
    """Return what a call takes, in milliseconds."""
    times = []
    for _ in range(_LOOKS):
        began = time.monotonic()
        await ask()
        times.append(time.monotonic() - began)
    return 1000 * statistics.median(times)


_MEASURES = {"cancel": _cancel, "late": _late, "wait": _wait, "release": _release}


def main() -> None:
    """Measure on each store that is named, or on all."""
    for name in sys.argv[1:] or ["sqlite", "redis", "postgres"]:
        servers = None if name == "sqlite" else StoreServer(name)
        with place_for(Settings(), servers) as (settings, _):
            print(f"{name} store:", flush=True)
            asyncio.run(_measure(settings))


async def _measure(settings: Settings) -> None:
    configure_logging(settings.model_copy(update={"log_level": "error"}))
    async with open_planes(settings) as planes:
        bench = Bench(planes, settings)
        for name in (os.environ.get("MEASURES") or " ".join(_MEASURES)).split():
            await _MEASURES[name](bench)


if __name__ == "__main__":
    main()
