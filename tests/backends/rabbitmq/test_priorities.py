"""Priorities on a real server: urgent jobs under a backlog, and the queues that they wait in.

The backlog is of 5,000 jobs, or of as many as PRIORITIES_BACKLOG says.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import aio_pika

from jobkit.backends.rabbitmq.topology import partition_queue, topology_of
from jobkit.model.envelope import Envelope
from jobkit.model.partition import Partition
from jobkit.model.priority import BANDS, Priority
from jobkit.ports.broker import Published
from jobkit.ports.inspection import JobRecord, JobState
from tests.acceptance.plugin import Step
from tests.acceptance.site import Site as Workers
from tests.acceptance.site import until
from tests.backends.rabbitmq.conftest import Site
from tests.backends.rabbitmq.test_workers import ended, workers

BACKLOG = int(os.environ.get("PRIORITIES_BACKLOG", "5000"))
TYPE = "test.urgent"
WHOLE = Partition(TYPE, 0)
# The figure to reach is a second. A machine with other things to do may take longer, but nowhere near the backlog.
_PATIENCE_SECONDS = 1.0 if BACKLOG >= 100_000 else 5.0


async def committed(opened: Workers) -> int:
    return (await opened.planes.inspection.counts()).jobs.get(JobState.COMMITTED, 0)


async def submit(opened: Workers, on: str, count: int, priority: Priority, seconds: float = 0.03) -> list[str]:
    ids: list[str] = []
    for start in range(0, count, 1_000):
        jobs = [
            opened.client.job(TYPE, Step(on=on, number=number, seconds=seconds), priority=priority)
            for number in range(start, min(count, start + 1_000))
        ]
        ids += [one.id for one in await opened.client.submit_many(jobs)]
    return ids


def command(opened: Workers, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "jobkit", *words],
        env={**os.environ, **opened.environment},
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


async def delete(site: Site, queue: str) -> None:
    async with await aio_pika.connect(site.url()) as connection, connection.channel() as channel:
        await channel.queue_delete(queue)


def waited(record: JobRecord, since: float | None = None) -> float:
    assert record.started_at is not None
    return record.started_at - (record.submitted_at if since is None else since)


async def test_urgent_jobs_begin_at_once_under_a_backlog_and_low_ones_have_their_share(
    site: Site, tmp_path: Path
) -> None:
    async with workers(site, tmp_path, PARTITIONS="4", CONCURRENCY="4") as opened:
        normal = await submit(opened, "normal", BACKLOG, Priority.NORMAL)
        low = await submit(opened, "low", 40, Priority.LOW)
        opened.start(TYPE)

        async def under_way() -> bool:
            return await committed(opened) > 100

        await until(under_way, within=120, what="jobs commit")
        waits = []
        for number in range(5):
            (id,) = await submit(opened, f"high-{number}", 1, Priority.HIGH)
            (record,) = await ended(opened, [id], within=60)
            waits.append(waited(record))
        payload = '{"on": "from the command line", "number": 1}'
        id = await asyncio.to_thread(command, opened, "submit", TYPE, "-p", payload, "--priority", "high")
        (record,) = await ended(opened, [id], within=60)
        waits.append(waited(record))
        print(f"high jobs behind {BACKLOG} normal ones began after {', '.join(f'{wait:.3f}' for wait in waits)} s")
        assert max(waits) < _PATIENCE_SECONDS
        # One that waits at the end of the backlog is taken out of it, by program and by command.
        assert (await opened.client.reprioritize(normal[-1], "high")).changed
        await asyncio.to_thread(command, opened, "priority", normal[-2], "--to", "high")
        records = await ended(opened, normal[-2:], within=60)
        assert [record.opens for record in records] == [1, 1]
        await ended(opened, low, within=60)
        # All that while most of the backlog waits: at its end nothing would be urgent.
        assert await committed(opened) < BACKLOG


async def test_bands_are_seen_from_everywhere_and_made_again_when_they_are_gone(site: Site) -> None:
    band = WHOLE.band(Priority.HIGH)
    message = [(band, Envelope("h", TYPE, b"{}", key="k").with_priority(Priority.HIGH))]
    async with site.broker() as broker, site.broker() as other:
        await broker.declare(TYPE, 2)
        assert [type(answer) for answer in await broker.publish(message)] == [Published]
        assert [depth.bands.get(Priority.HIGH) for depth in await other.depths()] == [1, 0]
        assert {part.state for part in await other.look(TYPE, 2, bands=True)} == {"there"}
        await delete(site, partition_queue(band))
        assert [type(answer) for answer in await broker.publish(message)] == [Published]
        await delete(site, partition_queue(band))
        await broker.restore(TYPE, 2)
        assert [depth.bands.get(Priority.HIGH) for depth in await other.depths()] == [0, 0]


def test_a_type_without_priorities_has_the_queues_that_it_always_had() -> None:
    plain, with_bands = topology_of("t", 2), topology_of("t", 2, bands=True)
    assert [queue.name for queue in plain.queues] == ["jobkit.t:dead", "jobkit.t.0", "jobkit.t.1"]
    assert len(with_bands.queues) == len(plain.queues) + 2 * len(BANDS)
    assert ("0.high", "jobkit.t.0:high") in [(one.key, one.queue) for one in with_bands.bindings]
