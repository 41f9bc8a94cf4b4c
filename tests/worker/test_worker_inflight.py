"""A whole worker in virtual time: jobs that run for longer than a delivery may be held."""

from __future__ import annotations

import anyio

from jobkit import Context, RetryPolicy, processor
from tests.faults.doubles import Faults, lost_reply, lost_request
from tests.steps import Step, loose, step
from tests.virtual_site import in_virtual_time, open_site


@in_virtual_time
async def test_a_long_job_gives_its_delivery_back_and_commits_without_it() -> None:
    """nothing-lost, bounded."""
    async with open_site(step, delivery_hold=60) as site:
        site.start("a")
        job = await site.client.submit("step", Step(seconds=300))
        await site.until(lambda: _delivered_nowhere(site))
        assert await site.shelved() == 1
        assert (await site.client.status(job.id)).state == "running"
        record = await site.ended(job.id, 400)
        assert (record.state, record.opens) == ("committed", 1)
        assert await site.log("step", "k") == ['{"number":1}']
        await site.at_rest()


async def _delivered_nowhere(site: object) -> bool:
    return await site.queued() == 0  # type: ignore[attr-defined, no-any-return]


@in_virtual_time
async def test_an_in_flight_job_is_adopted_when_its_worker_dies() -> None:
    """nothing-lost: there is no delivery left that could bring it back."""
    async with open_site(step, delivery_hold=30) as site:
        victim = site.start("victim", faults=Faults(site.clock))
        job = await site.client.submit("step", Step(seconds=100))
        await site.until(lambda: _delivered_nowhere(site))
        await victim.crash()
        site.start("heir")
        record = await site.ended(job.id, 200)
        assert (record.state, record.owner, record.opens) == ("committed", "heir", 2)
        assert await site.log("step", "k") == ['{"number":1}']
        await site.at_rest()


@in_virtual_time
async def test_an_in_flight_job_that_runs_is_adopted_by_nobody() -> None:
    """single-effect: not by its own worker, and not by the next leader."""
    async with open_site(step, delivery_hold=10, partitions=1) as site:
        site.start("a-first")
        job = await site.client.submit("step", Step(seconds=200))
        await site.until(lambda: _delivered_nowhere(site))
        site.start("b-second")
        record = await site.ended(job.id, 300)
        assert (record.owner, record.opens) == ("a-first", 1)
        await site.at_rest()
        await site.clock.sleep(30)
        assert site.witness.count("jobkit.duplicates") == 0


@in_virtual_time
async def test_jobs_that_wait_behind_a_long_one_are_adopted_in_their_order() -> None:
    """order: of jobs without a sequence, too."""
    async with open_site(loose, delivery_hold=30, partitions=1) as site:
        victim = site.start("victim", faults=Faults(site.clock))
        for number in range(1, 31):
            await site.client.submit("loose", Step(number=number, seconds=100 if number == 1 else 0))
        await site.until(lambda: _delivered_nowhere(site))
        assert await site.shelved() == 30
        await victim.crash()
        site.start("heir")
        await site.at_rest(300)
        assert await site.log("loose", "k") == [f'{{"number":{number}}}' for number in range(1, 31)]


@in_virtual_time
async def test_a_lost_call_to_shelve_loses_and_repeats_nothing() -> None:
    """nothing-lost, single-effect."""
    for fault in (lost_request, lost_reply):
        async with open_site(step, delivery_hold=60) as site:
            site.start("a")
            site.faults.once("store.shelve", fault)
            job = await site.client.submit("step", Step(seconds=300))
            record = await site.ended(job.id, 400)
            assert (record.state, record.opens) == ("committed", 1)
            await site.at_rest()


@in_virtual_time
async def test_a_lost_ack_of_a_shelved_job_brings_a_duplicate_that_does_nothing() -> None:
    """single-effect."""
    async with open_site(step, delivery_hold=60) as site:
        site.start("a")
        site.faults.once("broker.ack", lost_request)
        job = await site.client.submit("step", Step(seconds=300))
        record = await site.ended(job.id, 400)
        assert (record.state, record.opens) == ("committed", 1)
        await site.at_rest()
        assert site.witness.count("jobkit.duplicates") == 1
        assert await site.log("step", "k") == ['{"number":1}']


@in_virtual_time
async def test_a_shelved_job_that_fails_is_retried_where_it_is() -> None:
    """nothing-lost: there is no delivery to delay."""

    @processor("slow", key=lambda job: job.on, retry=RetryPolicy(jitter=0))
    async def slow(job: Step, ctx: Context) -> int:
        await ctx.clock.sleep(60)
        if ctx.job.attempt < 3:
            raise RuntimeError("not yet")
        return ctx.job.attempt

    async with open_site(slow, delivery_hold=30) as site:
        site.start("a")
        job = await site.client.submit("slow", Step())
        record = await site.ended(job.id, 400)
        assert (record.state, record.result) == ("committed", b"3")
        await site.at_rest()


@in_virtual_time
async def test_a_consumer_that_breaks_cancels_no_running_job() -> None:
    """single-effect: what is delivered again meanwhile turns out to be a duplicate."""
    cancelled = False

    @processor("slow", key=lambda job: job.on, ordered=True)
    async def slow(job: Step, ctx: Context) -> None:
        nonlocal cancelled
        try:
            await ctx.clock.sleep(30)
        except anyio.get_cancelled_exc_class():
            cancelled = True
            raise
        ctx.append("ran", {"number": job.number})

    async with open_site(slow) as site:
        site.start("a")
        jobs = [await site.client.submit("slow", Step(number=number)) for number in (1, 2)]
        await site.until(lambda: site.faults.calls["store.open"] == 1)
        site.faults.close_consumers()
        for job in jobs:
            record = await site.ended(job.id)
            assert (record.state, record.opens) == ("committed", 1)
        assert not cancelled
        assert await site.log("slow", "k") == ['{"number":1}', '{"number":2}']
        assert site.witness.count("jobkit.duplicates") == 1
        await site.at_rest()
