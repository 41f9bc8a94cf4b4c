"""Real worker processes on a real server, and the number of partitions is changed while jobs are submitted."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from jobkit.client.layouts import Layouts
from jobkit.model.clock import SystemClock
from jobkit.ops.verify import verify
from jobkit.ports.inspection import JobState
from tests.acceptance.plugin import Step
from tests.acceptance.site import Site as Workers
from tests.acceptance.site import open_site, until
from tests.backends.rabbitmq.conftest import Site

KEYS = 10
# All that waits is moved with a change: no more than this is to, however slow the workers are.
MOST_WAITING = 300
TYPE = "test.step"
campaign = pytest.mark.skipif("CAMPAIGN" not in os.environ, reason="`make campaign` runs it")


async def change(opened: Workers, number: int, initial: int) -> None:
    """Change the number as the command does, and wait until the queues of before are removed."""
    layouts = Layouts(opened.planes.store, initial, SystemClock())
    await layouts.change(TYPE, lambda now: now.announced(number))

    async def settled() -> bool:
        return (await opened.planes.store.layouts())[TYPE].settled

    await until(settled, within=90, what=f"{number} partitions are in force")
    depths = await opened.planes.broker.depths()
    assert Counter(depth.partition.type for depth in depths)[TYPE] == number


@pytest.mark.parametrize("numbers", [(6, 2), pytest.param((1, 6, 2), marks=campaign)])
async def test_changes_while_jobs_are_submitted(numbers: Sequence[int], site: Site, tmp_path: Path) -> None:
    """single-effect, order, nothing-lost."""
    first, *others = numbers
    async with open_site(tmp_path, BROKER_URL=site.url(heartbeat=1), PARTITIONS=str(first)) as opened:
        for _ in range(2):
            opened.start(TYPE)
        ids: list[str] = []
        changed = asyncio.Event()

        async def committed() -> int:
            return (await opened.planes.inspection.counts()).jobs.get(JobState.COMMITTED, 0)

        async def submit() -> None:
            while not changed.is_set():
                if len(ids) - await committed() < MOST_WAITING:
                    number = 1 + len(ids) // KEYS
                    jobs = [opened.client.job(TYPE, Step(on=f"key-{key}", number=number)) for key in range(KEYS)]
                    ids.extend(one.id for one in await opened.client.submit_many(jobs))
                await asyncio.sleep(0.05)

        submitting = asyncio.create_task(submit())
        for number in others:
            await change(opened, number, first)
        changed.set()
        await submitting

        async def done() -> bool:
            return await committed() == len(ids)

        await until(done, within=90, what="all jobs are committed")
        for key in range(KEYS):
            entries = await opened.planes.inspection.log(TYPE, f"key-{key}", limit=10_000)
            assert [entry.sequence for entry in entries] == list(range(1, len(ids) // KEYS + 1))
        assert list((await verify(opened.planes, {})).findings) == []
