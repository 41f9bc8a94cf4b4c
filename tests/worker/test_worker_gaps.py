"""A whole worker in virtual time: sequences that are missing."""

from __future__ import annotations

from collections.abc import Sequence

from jobkit.ports.store import Accepted
from tests.faults.doubles import lost_reply, lost_request
from tests.steps import Step, step
from tests.virtual_site import Site, in_virtual_time, open_site


async def _accept(site: Site, count: int) -> list[Accepted]:
    """Accept jobs with sequences from 1 on, without publishing them: which arrives when is the test's to say."""
    jobs = [site.client.job("step", Step(number=number), id=f"job-{number}") for number in range(1, count + 1)]
    answers = await site.planes.store.submit(jobs)
    accepted = [answer for answer in answers if isinstance(answer, Accepted)]
    await site.planes.store.published([answer.position for answer in accepted])
    return accepted


async def _publish(site: Site, jobs: Sequence[Accepted]) -> None:
    partition = site.client._relay.partition
    await site.planes.broker.declare("step", site.settings.partitions)
    await site.planes.broker.publish([(partition(job), job.envelope) for job in jobs])  # type: ignore[arg-type]


def _numbers(*numbers: int) -> list[str]:
    return [f'{{"number":{number}}}' for number in numbers]


@in_virtual_time
async def test_a_gap_that_closes_soon_is_waited_for_and_nothing_is_parked() -> None:
    """order."""
    async with open_site(step, gap_hold=30) as site:
        one, two, three = await _accept(site, 3)
        await _publish(site, [three, two])
        site.start()
        await site.until(lambda: site.witness.count("jobkit.gaps", {"event": "held"}) > 0)
        await site.clock.sleep(20)
        assert await site.log("step", "k") == []
        await _publish(site, [one])
        took = await site.until(lambda: _committed(site, 3))
        assert took < 1
        assert await site.log("step", "k") == _numbers(1, 2, 3)
        assert site.witness.count("jobkit.gaps", {"event": "parked"}) == 0
        await site.at_rest()


async def _committed(site: Site, count: int) -> bool:
    return site.witness.count("jobkit.jobs", {"outcome": "committed"}) == count


@in_virtual_time
async def test_a_gap_that_stays_open_parks_its_key_in_bounded_time_and_says_so() -> None:
    """order, bounded, loud."""
    async with open_site(step, gap_hold=30) as site:
        _, two, three = await _accept(site, 3)
        await _publish(site, [two, three])
        started = site.clock.now()
        site.start()
        assert (await site.ended("job-2")).state == "parked"
        assert 30 <= site.clock.now() - started < 33
        assert (await site.ended("job-3")).state == "parked"
        (gap,) = await site.planes.inspection.gaps()
        assert (gap.expected, gap.first, gap.parked) == (1, 2, 2)
        assert [line["log_level"] for line in site.witness.lines("gap in sequence, job parked")] == ["warning"] * 2
        await site.until(lambda: _nothing_queued(site))
        assert await site.log("step", "k") == []


async def _nothing_queued(site: Site) -> bool:
    return await site.queued() == 0


@in_virtual_time
async def test_the_missing_job_sets_the_parked_ones_going_again_in_order() -> None:
    """order, nothing-lost."""
    async with open_site(step, gap_hold=5) as site:
        one, *rest = await _accept(site, 5)
        await _publish(site, rest)
        site.start()
        for job in rest:
            assert (await site.ended(job.envelope.id)).state == "parked"
        await _publish(site, [one])
        await site.until(lambda: _committed(site, 5), within=10)
        assert await site.log("step", "k") == _numbers(1, 2, 3, 4, 5)
        assert await site.planes.inspection.gaps() == []
        await site.at_rest()


@in_virtual_time
async def test_a_skipped_gap_lets_the_rest_run_and_its_job_die_when_it_comes() -> None:
    """order: given up by a command that says so, and never dropped."""
    async with open_site(step, gap_hold=5) as site:
        one, two, three = await _accept(site, 3)
        await _publish(site, [two, three])
        site.start()
        assert (await site.ended("job-3")).state == "parked"
        assert await site.planes.inspection.skip_gap("step", "k", before=2) == 2
        await site.until(lambda: _committed(site, 2), within=10)
        assert await site.log("step", "k") == _numbers(2, 3)
        await _publish(site, [one])
        assert (await site.ended("job-1")).state == "dead"
        assert await site.reasons() == ["sequence skipped"]
        await site.at_rest()


@in_virtual_time
async def test_a_resumed_key_tries_its_jobs_again_and_parks_them_again_while_the_gap_is_open() -> None:
    async with open_site(step, gap_hold=5) as site:
        _, two = await _accept(site, 2)
        await _publish(site, [two])
        site.start()
        assert (await site.ended("job-2")).state == "parked"
        assert await site.planes.inspection.resume_gap("step", "k") == 1
        assert (await site.client.status("job-2")).state == "queued"
        assert (await site.ended("job-2")).state == "parked"


@in_virtual_time
async def test_no_more_jobs_of_a_key_are_held_than_the_limit_says() -> None:
    """bounded: what is beyond it is parked at once."""
    async with open_site(step, gap_hold=60, gap_limit=3) as site:
        _, *rest = await _accept(site, 6)
        await _publish(site, rest)
        started = site.clock.now()
        site.start()
        for job in rest:
            assert (await site.ended(job.envelope.id)).state == "parked"
        assert site.clock.now() - started < 5


@in_virtual_time
async def test_a_key_that_waits_for_a_sequence_is_in_no_other_keys_way() -> None:
    async with open_site(step, gap_hold=60, partitions=1, concurrency=1) as site:
        _, two = await _accept(site, 2)
        await _publish(site, [two])
        site.start()
        await site.until(lambda: site.witness.count("jobkit.gaps", {"event": "held"}) == 1)
        other = await site.client.submit("step", Step(on="other"))
        started = site.clock.now()
        assert (await site.ended(other.id)).state == "committed"
        assert site.clock.now() - started < 1


@in_virtual_time
async def test_a_lost_call_to_park_loses_no_job() -> None:
    """nothing-lost."""
    for fault in (lost_request, lost_reply):
        async with open_site(step, gap_hold=5) as site:
            one, two = await _accept(site, 2)
            await _publish(site, [two])
            site.faults.once("store.park", fault)
            site.start()
            assert (await site.ended("job-2")).state == "parked"
            await site.until(lambda: _nothing_queued(site))
            await _publish(site, [one])
            await site.until(lambda: _committed(site, 2), within=10)
            assert await site.log("step", "k") == _numbers(1, 2)
            await site.at_rest()


@in_virtual_time
async def test_a_held_job_is_given_back_by_a_drain_and_held_by_the_next_worker() -> None:
    """order: a hand-over is no end of the wait, and no job that only waits is treated as running."""
    async with open_site(step, gap_hold=60) as site:
        one, two = await _accept(site, 2)
        await _publish(site, [two])
        first = site.start("first")
        await site.until(lambda: site.witness.count("jobkit.gaps", {"event": "held"}) == 1)
        started = site.clock.now()
        await first.drain()
        assert site.clock.now() - started < 0.2
        assert site.faults.calls["store.shelve"] == 0
        assert await site.queued() == 1
        site.start("second")
        await site.until(lambda: site.witness.count("jobkit.gaps", {"event": "held"}) == 2)
        await _publish(site, [one])
        await site.until(lambda: _committed(site, 2), within=5)
        assert await site.log("step", "k") == _numbers(1, 2)
