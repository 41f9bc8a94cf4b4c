"""The client in virtual time: what is accepted, what it says of it, and watching a job."""

from __future__ import annotations

import pytest

from jobkit.errors import JobConflict, JobNotFound, PayloadInvalid, Unavailable, UnknownType, WaitTimeout
from jobkit.plugin.registry import Registry
from tests.faults.doubles import Faults, faulty_planes, lost_reply, lost_request
from tests.steps import Step, loose, step
from tests.virtual_site import in_virtual_time, open_site


@in_virtual_time
async def test_a_submitted_job_is_accepted_and_published() -> None:
    async with open_site(step) as site:
        first = await site.client.submit("step", Step(), id="one")
        second = await site.client.submit("step", {"number": 2})
        assert (first.id, first.type, first.key, first.sequence) == ("one", "step", "k", 1)
        assert (first.known, first.published) == (False, True)
        assert second.sequence == 2
        assert await site.queued() == 2
        assert await site.planes.store.outbox(older_than=-1, limit=10) == []


@in_virtual_time
async def test_an_unordered_job_has_no_sequence() -> None:
    async with open_site(loose) as site:
        assert (await site.client.submit("loose", Step())).sequence is None


@in_virtual_time
async def test_many_jobs_are_accepted_in_their_order() -> None:
    """order."""
    async with open_site(step) as site:
        jobs = [site.client.job("step", Step(on=on)) for on in "abab"]
        submissions = await site.client.submit_many(jobs)
        assert [(job.key, job.sequence) for job in submissions] == [("a", 1), ("b", 1), ("a", 2), ("b", 2)]


@in_virtual_time
async def test_what_cannot_be_run_is_never_accepted() -> None:
    async with open_site(step) as site:
        with pytest.raises(UnknownType):
            await site.client.submit("stpe", Step())
        with pytest.raises(PayloadInvalid):
            await site.client.submit("step", {"nmber": 1})
        assert await site.planes.inspection.jobs() == []


@in_virtual_time
async def test_the_same_id_with_another_payload_is_a_conflict_and_its_neighbours_are_accepted() -> None:
    """single-effect: an error, never a silent drop."""
    async with open_site(step) as site:
        await site.client.submit("step", Step(number=1), id="one")
        jobs = [site.client.job("step", Step(number=number), id=id) for number, id in ((2, "one"), (3, "three"))]
        with pytest.raises(JobConflict, match="'one'"):
            await site.client.submit_many(jobs)
        assert (await site.client.status("three")).state == "queued"
        assert await site.queued() == 2


@in_virtual_time
async def test_a_job_is_accepted_though_the_broker_is_away_and_a_relay_publishes_it_later() -> None:
    """nothing-lost."""
    async with open_site(step) as site:
        away = Faults(site.clock)
        away.always("broker.*", lost_request)
        client = type(site.client)(
            faulty_planes(site.planes, away), site.registry, site.settings, site.clock, site.witness.telemetry
        )
        submission = await client.submit("step", Step())
        assert not submission.published
        assert site.witness.lines("backend unavailable")[0]["plane"] == "broker"
        assert await site.queued() == 0
        site.start()
        started = site.clock.now()
        assert (await site.ended(submission.id)).state == "committed"
        assert site.clock.now() - started < 2 * site.settings.relay_grace + 1


@in_virtual_time
async def test_a_submission_whose_answer_was_lost_can_be_made_again() -> None:
    """single-effect: one job, and no hole in its key's sequence."""
    async with open_site(step) as site:
        faults = Faults(site.clock)
        client = type(site.client)(faulty_planes(site.planes, faults), site.registry, site.settings, site.clock)
        faults.once("store.submit", lost_reply)
        with pytest.raises(Unavailable):
            await client.submit("step", Step(), id="one")
        again = await client.submit("step", Step(), id="one")
        assert (again.known, again.sequence) == (True, 1)
        assert (await client.submit("step", Step())).sequence == 2
        site.start()
        assert (await site.ended("one")).state == "committed"
        await site.at_rest()


@in_virtual_time
async def test_a_job_that_nobody_knows_is_not_found() -> None:
    async with open_site(step) as site:
        with pytest.raises(JobNotFound, match="'nobody'"):
            await site.client.status("nobody")


@in_virtual_time
async def test_watching_a_job_shows_each_change_until_it_ends() -> None:
    async with open_site(step) as site:
        job = await site.client.submit("step", Step(seconds=10))
        site.start()
        states = [record.state.value async for record in site.client.watch(job.id)]
        assert states[0] == "queued"
        assert states[-1] == "committed"
        assert "running" in states
        assert [record.state.value async for record in site.client.watch(job.id)] == ["committed"]


@in_virtual_time
async def test_watching_ends_at_its_bound() -> None:
    async with open_site(step) as site:
        job = await site.client.submit("step", Step())
        started = site.clock.now()
        with pytest.raises(WaitTimeout, match=r"still queued after 7\.5 s"):
            async for _ in site.client.watch(job.id, 7.5):
                pass
        assert site.clock.now() - started == pytest.approx(7.5)


@in_virtual_time
async def test_the_client_of_a_process_without_the_plugin_cannot_submit() -> None:
    async with open_site(step) as site:
        stranger = type(site.client)(site.planes, Registry([]), site.settings, site.clock)
        with pytest.raises(UnknownType):
            stranger.job("step", Step())


async def test_a_client_needs_no_more_than_planes_a_registry_and_settings() -> None:
    """With the machine's own clock and no telemetry."""
    from jobkit.backends.registry import memory_planes
    from jobkit.client import Client
    from tests.virtual_site import settings_of

    async with memory_planes() as planes:
        client = Client(planes, Registry([step]), settings_of())
        job = await client.submit("step", Step())
        assert (await client.status(job.id)).state == "queued"


@in_virtual_time
async def test_tags_are_kept_with_the_job_and_refused_where_they_are_none() -> None:
    async with open_site(step) as site:
        one = await site.client.submit("step", Step(), tags=["nightly", "eu"])
        other = await step.submit(site.client, Step(number=2), tags=["hourly"])
        (many,) = await site.client.submit_many([site.client.job("step", Step(number=3), tags=("x",))])
        found = [await site.client.status(id) for id in (one.id, other.id, many.id)]
        assert [job.tags for job in found] == [("nightly", "eu"), ("hourly",), ("x",)]
        with pytest.raises(ValueError, match="without blanks"):
            await site.client.submit("step", Step(), tags=["two words"])
