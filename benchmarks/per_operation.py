"""What one operation of a store costs beside much that waits: `python -m benchmarks.per_operation [SIZE...]`.

It runs on the store that JOBKIT_STORE_URL names, which should be empty, or else on a SQLite file of its own, and leaves
behind what it makes. Each row is the median of some calls, in milliseconds, and should be as long for 100,000 as for
1,000. A queue's delayed messages are looked at where the broker is SQLite, and an open snapshot where the store is
PostgreSQL or SQLite: Redis has none.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, closing
from functools import partial
from pathlib import Path

import asyncpg
from pydantic import SecretStr

from jobkit.backends.registry import migrate_store, open_broker, open_store
from jobkit.model.clock import SystemClock
from jobkit.model.envelope import Envelope
from jobkit.model.fence import Fence, Receipt
from jobkit.model.partition import Partition
from jobkit.ports.backend import Opening
from jobkit.ports.broker import Broker
from jobkit.ports.inspection import Inspection
from jobkit.ports.store import Accepted, Effects, NewJob, Opened, Store
from jobkit.settings import Settings

SIZES = (1_000, 100_000)
CALLS = 15
# So many are made at once, so that those who batch can.
AT_ONCE = 500

_numbers = itertools.count(1)

Ask = Callable[[], Awaitable[object]]


def _envelope(type: str, key: str, sequence: int | None = None) -> Envelope:
    return Envelope(id=f"{type}-{next(_numbers)}", type=type, key=key, body=b"{}", sequence=sequence, submitted_at=1.0)


def _fence() -> Fence:
    number = next(_numbers)
    return Fence(number, f"n{number}", "benchmark")


class Bench:
    """A store, and what is put into it. Each size has a type of its own."""

    def __init__(self, store: Store, inspection: Inspection) -> None:
        self.store = store
        self.inspection = inspection

    async def submit(self, type: str, count: int, *, ordered: bool, key: str = "k") -> list[Envelope]:
        """Submit jobs of one key, and return them as they were accepted."""
        made: list[Envelope] = []
        while len(made) < count:
            jobs = [NewJob(_envelope(type, key), ordered) for _ in range(min(AT_ONCE, count - len(made)))]
            answers = await self.store.submit(jobs)
            made += [answer.envelope for answer in answers if isinstance(answer, Accepted)]
        return made

    async def each(self, jobs: list[Envelope], do: Callable[[Envelope], Awaitable[object]]) -> None:
        """Do something with all jobs, many at once."""
        for at in range(0, len(jobs), AT_ONCE):
            await asyncio.gather(*(do(job) for job in jobs[at : at + AT_ONCE]))

    async def commit(self, job: Envelope) -> None:
        """Take a job from its opening to its commit."""
        under = _fence()
        if not isinstance(await self.store.open(job, under), Opened):
            raise RuntimeError(f"{job.id} was not opened")
        await self.store.commit(job, under, Effects())


async def _rows(bench: Bench, size: int) -> AsyncIterator[tuple[str, Ask]]:
    """Yield what is asked, each with `size` of something there, as soon as it is."""
    store, inspection = bench.store, bench.inspection
    waiting, parked, flying = f"waiting{size}", f"parked{size}", f"flying{size}"

    await bench.submit(waiting, size, ordered=False, key="crowded")
    others = iter(await bench.submit(waiting, CALLS, ordered=False, key="other"))
    yield "submit, beside jobs that wait", lambda: bench.submit(waiting, 1, ordered=False, key="new")
    yield "commit, beside jobs that wait", lambda: bench.commit(next(others))
    yield "a page of the outbox", lambda: store.outbox(older_than=-1, limit=100)
    upto = await store.horizon()
    yield "a page of adrift", lambda: store.adrift(Partition(waiting, 0), 1, after=0, upto=upto, limit=100)

    queue = await bench.submit(parked, size + CALLS, ordered=True, key="hot")
    first, rest = iter(queue[:CALLS]), queue[CALLS:]
    await bench.each(rest, lambda job: store.park(job, reason="benchmark"))
    yield "commit, before parked jobs of its key", lambda: bench.commit(next(first))
    yield "counts", inspection.counts
    yield "parked jobs resumed", lambda: inspection.resume_gap(parked, "hot")

    skipped = f"skipped{size}"
    behind = await bench.submit(skipped, size + CALLS, ordered=True, key="hot")
    # Each call gives one of the first up; all others wait behind them.
    given_up = iter([job.sequence or 0 for job in behind[1 : CALLS + 1]])
    await bench.each(behind[CALLS + 1 :], lambda job: store.park(job, reason="benchmark"))
    yield "parked jobs skipped", lambda: inspection.skip_gap(skipped, "hot", before=next(given_up))

    here = Partition(flying, 0)
    await bench.each(await bench.submit(flying, size, ordered=False), lambda job: store.shelve(job, here))
    aside = (await bench.submit(flying, 1, ordered=False, key="z"))[0]
    await store.shelve(aside, here)
    yield "keys in flight", lambda: store.shelved_keys(here, limit=100)
    yield "in-flight jobs of another key", lambda: store.shelved(here, key="z", limit=20)
    yield "forgetting nothing", lambda: inspection.prune(older_than=1e12, keep_at_most=1 << 53, batch=100)


@asynccontextmanager
async def _delayed(broker: Broker, size: int) -> AsyncIterator[Ask]:
    """Lend a look at a queue with `size` delayed messages, one of them due."""
    type = f"delayed{size}"
    partition = Partition(type, 0)
    await broker.declare(type, 1)
    for at in range(0, size, AT_ONCE):
        await broker.publish([(partition, _envelope(type, "k")) for _ in range(min(AT_ONCE, size - at))])
    async with broker.consume(partition, "benchmark") as consumer:
        left = size
        while left:
            deliveries = await consumer.receive(AT_ONCE)
            left -= len(deliveries)
            await asyncio.gather(*(consumer.delay(delivery, 0.0) for delivery in deliveries))

        async def look() -> None:
            (delivery,) = await consumer.receive(1)
            await consumer.ack(delivery, Receipt("", "benchmark"))

        yield look


@asynccontextmanager
async def _snapshot(url: str) -> AsyncIterator[bool]:
    """Keep a snapshot of the store open, as a forgotten transaction does; tell whether there are any there."""
    async with AsyncExitStack() as stack:
        if url.startswith("sqlite:"):
            path = url.removeprefix("sqlite:///")
            reader = stack.enter_context(closing(sqlite3.connect(path, isolation_level=None)))
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM sqlite_master").fetchone()
        elif url.startswith("postgres"):
            other = await asyncpg.connect(url)
            stack.push_async_callback(other.close)
            await other.execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1")
        else:
            yield False
            return
        yield True


async def _median(ask: Ask) -> float:
    took = []
    for _ in range(CALLS):
        began = time.perf_counter()
        await ask()
        took.append(1_000 * (time.perf_counter() - began))
    return statistics.median(took)


async def _one(bench: Bench, type: str) -> None:
    (job,) = await bench.submit(type, 1, ordered=False)
    await bench.commit(job)


async def measure(settings: Settings, sizes: tuple[int, ...]) -> dict[str, list[float]]:
    """Return the milliseconds of each operation, one for each size."""
    found: dict[str, list[float]] = {}
    async with AsyncExitStack() as stack:
        bench = Bench(*await open_store(settings, Opening(SystemClock(), stack)))
        for size in sizes:
            async for what, ask in _rows(bench, size):
                found.setdefault(what, []).append(await _median(ask))
            async with _snapshot(settings.store_url.get_secret_value()) as there_is_one:
                if there_is_one:
                    type = f"snapshot{size}"
                    for _ in range(size // AT_ONCE):
                        jobs = await bench.submit(type, AT_ONCE, ordered=False)
                        await asyncio.gather(*(bench.commit(job) for job in jobs))
                    row = "submit and commit, such work after a snapshot"
                    found.setdefault(row, []).append(await _median(partial(_one, bench, type)))
                    row = "counts, such work after a snapshot"
                    found.setdefault(row, []).append(await _median(bench.inspection.counts))
            if settings.broker_url.get_secret_value().startswith(("sqlite:", "memory:")):
                broker = await open_broker(settings, Opening(SystemClock(), stack))
                async with _delayed(broker, size) as look:
                    found.setdefault("a receive, before delayed messages", []).append(await _median(look))
    return found


def main() -> None:
    """Measure, and print a line for each operation."""
    sizes = tuple(map(int, sys.argv[1:])) or SIZES
    with tempfile.TemporaryDirectory() as directory:
        here = SecretStr(f"sqlite:///{Path(directory) / 'jobs.db'}")
        named = os.environ.get("JOBKIT_STORE_URL")
        settings = Settings.model_construct(
            broker_url=here, coordinator_url=here, store_url=SecretStr(named) if named else here
        )
        asyncio.run(migrate_store(settings))
        found = asyncio.run(measure(settings, sizes))
    print(f"{'milliseconds, beside':40}", *(f"{size:>12,}" for size in sizes))
    for what, milliseconds in found.items():
        print(f"{what:40}", *(f"{one:12.2f}" for one in milliseconds))


if __name__ == "__main__":
    main()
