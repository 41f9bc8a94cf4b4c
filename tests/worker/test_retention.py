"""Retention in virtual time: deduplication is bounded, and goes on after trouble."""

from __future__ import annotations

import pytest

import jobkit.worker.maintenance.retention
from jobkit.errors import JobNotFound
from tests.faults.doubles import lost_request
from tests.steps import Step, loose, step
from tests.virtual_site import Site, in_virtual_time, open_site


async def _known(site: Site) -> int:
    return len(await site.planes.inspection.jobs(limit=10_000))


@in_virtual_time
async def test_ended_jobs_are_forgotten_after_their_time() -> None:
    """bounded."""
    async with open_site(step, retention_seconds=300) as site:
        site.start()
        job = await site.client.submit("step", Step())
        await site.ended(job.id)
        ended_at = site.clock.now()
        await site.clock.sleep(290)
        assert (await site.client.status(job.id)).state == "committed"
        await site.until(lambda: _forgotten(site, job.id))
        assert 300 <= site.clock.now() - ended_at < 300 + 91


async def _forgotten(site: Site, id: str) -> bool:
    try:
        await site.client.status(id)
    except JobNotFound:
        return True
    return False


@in_virtual_time
async def test_no_more_ended_jobs_are_known_than_the_limit_says() -> None:
    """bounded."""
    async with open_site(loose, retention_limit=5) as site:
        site.start()
        for number in range(12):
            job = await site.client.submit("loose", Step(number=number))
        await site.at_rest()
        assert await _known(site) == 12
        await site.clock.sleep(91)
        assert await _known(site) == 5
        assert (await site.client.status(job.id)).state == "committed"


@in_virtual_time
async def test_a_long_backlog_of_the_forgotten_goes_in_one_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobkit.worker.maintenance.retention, "_BATCH", 10)
    async with open_site(loose, retention_limit=1) as site:
        site.start()
        jobs = [site.client.job("loose", Step(on=f"k{number % 50}")) for number in range(45)]
        await site.client.submit_many(jobs)
        await site.at_rest()
        await site.clock.sleep(91)
        assert await _known(site) == 1
        assert site.faults.calls["store.prune"] >= 5


@in_virtual_time
async def test_trouble_does_not_end_retention() -> None:
    async with open_site(step, retention_seconds=1) as site:
        site.start()
        job = await site.client.submit("step", Step())
        await site.ended(job.id)
        site.faults.once("store.prune", lost_request)
        await site.until(lambda: _forgotten(site, job.id), within=200)
        assert site.witness.lines("backend unavailable")[0]["doing"] == "forgetting old jobs"


@pytest.mark.parametrize("type", ["step", "loose"])
@in_virtual_time
async def test_a_forgotten_key_goes_on_where_it_was(type: str) -> None:
    """order, fencing: no mark and no sequence is lowered by forgetting."""
    async with open_site(step, loose, retention_seconds=1) as site:
        site.start()
        first = await site.client.submit(type, Step(number=1))
        before = await site.ended(first.id)
        await site.until(lambda: _forgotten(site, first.id), within=200)
        second = await site.client.submit(type, Step(number=2))
        after = await site.ended(second.id)
        assert after.state == "committed"
        assert before.token is not None
        assert after.token is not None
        assert after.token > before.token
        assert await site.log(type, "k") == ['{"number":1}', '{"number":2}']
        await site.at_rest()
