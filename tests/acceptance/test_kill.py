"""Workers killed without warning: nothing is lost, repeated or out of order."""

from __future__ import annotations

import itertools
import json
from functools import partial
from pathlib import Path

import anyio
import pytest

from jobkit.ops.verify import verify
from jobkit.ports.inspection import JobState
from tests.acceptance.plugin import Step
from tests.acceptance.site import Site, WorkerProcess, open_site, until

KEYS, STEPS = 50, 20
# A machine so slow that workers hardly get to work within their seconds must still come to an end.
MOST_KILLS = 9


async def _committed(site: Site) -> int:
    return (await site.planes.inspection.counts()).jobs.get(JobState.COMMITTED, 0)


async def _works(worker: WorkerProcess) -> bool:
    return worker.said("worker started")


@pytest.mark.slow
async def test_every_job_commits_once_and_in_order_while_a_worker_is_killed_every_second(tmp_path: Path) -> None:
    """single-effect, order, nothing-lost."""
    async with open_site(tmp_path, CONCURRENCY="20") as site:
        jobs = [
            site.client.job("test.step", Step(on=f"key-{key}", number=number, seconds=0.1))
            for number in range(1, STEPS + 1)
            for key in range(KEYS)
        ]
        for start in range(0, len(jobs), 500):
            await site.client.submit_many(jobs[start : start + 500])
        running = [site.start("test.step") for _ in range(3)]
        kills = 0
        for turn in itertools.cycle(range(3)):
            await until(partial(_works, running[turn]), within=60, what="the worker to be killed works")
            await anyio.sleep(1.0)  # the rhythm of the killing, not a wait for anything
            if kills == MOST_KILLS or await _committed(site) == len(jobs):
                break
            running[turn].kill()
            kills += 1
            running[turn] = site.start("test.step")
        assert kills >= 2, "the jobs were done before anything was killed"

        async def all_committed() -> bool:
            return await _committed(site) == len(jobs)

        await until(all_committed, within=200, what="every job is committed")

        done: list[str] = []
        for key in range(KEYS):
            log = await site.planes.inspection.log("test.step", f"key-{key}")
            assert [json.loads(entry.data)["number"] for entry in log] == list(range(1, STEPS + 1))
            assert [entry.sequence for entry in log] == list(range(1, STEPS + 1))
            done += [entry.job_id for entry in log]
        assert sorted(done) == sorted(job.envelope.id for job in jobs)
        counts = await site.planes.inspection.counts()
        assert (counts.dead, counts.parked, counts.outbox) == (0, 0, 0)
        assert (await verify(site.planes)).findings == []


async def test_a_killed_workers_job_is_taken_over_with_a_higher_token(tmp_path: Path) -> None:
    """fencing, nothing-lost."""
    async with open_site(tmp_path) as site:
        submitted = await site.client.submit("test.slow", Step(on="one", number=1, seconds=2))
        first = site.start("test.slow")

        async def begun() -> bool:
            return (await site.client.status(submitted.id)).progress > 0

        await until(begun, within=60, what="the first worker begins")
        before = await site.client.status(submitted.id)
        first.kill()
        site.start("test.slow")
        async for record in site.client.watch(submitted.id, timeout=90):
            after = record
        assert after.state is JobState.COMMITTED
        assert before.token is not None
        assert after.token is not None
        assert after.token > before.token
        assert after.owner != before.owner
        assert after.opens == 2
