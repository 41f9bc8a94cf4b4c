"""Workers told to stop: a drain loses nothing and repeats nothing; a second signal ends at once."""

from __future__ import annotations

import signal
from pathlib import Path

import anyio

from jobkit.ports.inspection import JobState
from tests.acceptance.plugin import Step
from tests.acceptance.site import Site, WorkerProcess, open_site, until


async def _running(site: Site, seconds: float) -> tuple[str, WorkerProcess]:
    submitted = await site.client.submit("test.slow", Step(on="one", number=1, seconds=seconds))
    worker = site.start("test.slow")

    async def begun() -> bool:
        return (await site.client.status(submitted.id)).progress > 0

    await until(begun, within=60, what="the worker begins")
    return submitted.id, worker


async def _exit_code(worker: WorkerProcess) -> int:
    return await anyio.to_thread.run_sync(worker.process.wait, 20)


async def test_sigterm_lets_the_running_job_finish(tmp_path: Path) -> None:
    async with open_site(tmp_path) as site:
        id, worker = await _running(site, seconds=2)
        worker.signal(signal.SIGTERM)
        assert await _exit_code(worker) == 0
        record = await site.client.status(id)
        assert record.state is JobState.COMMITTED
        assert record.opens == 1
        assert await site.planes.coordinator.leases() == []


async def test_a_second_signal_ends_at_once_and_the_job_is_run_again(tmp_path: Path) -> None:
    async with open_site(tmp_path) as site:
        id, worker = await _running(site, seconds=4)
        worker.signal(signal.SIGTERM)

        async def draining() -> bool:
            return any(str(event.get("event", "")).startswith("draining") for event in worker.events())

        await until(draining, within=60, what="the worker drains")
        worker.signal(signal.SIGTERM)
        await _exit_code(worker)
        assert (await site.client.status(id)).state is not JobState.COMMITTED
        site.start("test.slow")
        async for record in site.client.watch(id, timeout=90):
            last = record
        assert last.state is JobState.COMMITTED
        assert len(await site.planes.inspection.log("test.slow", "one")) == 1


async def test_a_new_worker_gets_its_share_and_a_leaving_one_gives_it_back(tmp_path: Path) -> None:
    async with open_site(tmp_path) as site:
        first = site.start("test.step")

        async def leaders() -> dict[str, int]:
            counts: dict[str, int] = {}
            for lease in await site.planes.coordinator.leases("leader/"):
                counts[lease.owner.split(":")[1]] = counts.get(lease.owner.split(":")[1], 0) + 1
            return counts

        async def alone() -> bool:
            return await leaders() == {str(first.pid): 8}

        await until(alone, within=60, what="the first worker leads all partitions")
        second = site.start("test.step")

        async def shared() -> bool:
            return await leaders() == {str(first.pid): 4, str(second.pid): 4}

        await until(shared, within=60, what="both lead four partitions")
        second.signal(signal.SIGTERM)
        assert await _exit_code(second) == 0
        await until(alone, within=60, what="the first worker leads all partitions again")
