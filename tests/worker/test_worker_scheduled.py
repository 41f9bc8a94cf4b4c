"""Jobs that are to run later run then: soon after they are due, in that order, whichever worker lives."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from jobkit import Context, Payload, processor
from jobkit.ports.inspection import JobState
from tests.faults.doubles import lost_reply, lost_request
from tests.virtual_site import in_virtual_time, open_site

# A look each half second, and what the way of a job takes here.
RELEASED_WITHIN = 0.55


class Note(Payload):
    key: str = "k"
    follow: bool = False


@processor("note", key=lambda job: job.key, ordered=True)
async def note(job: Note, ctx: Context) -> None:
    ctx.append("done", {"id": ctx.job.id})
    if job.follow:
        ctx.submit("note", Note(key="follow-up"), id="later", after=timedelta(minutes=5))


@in_virtual_time
async def test_a_job_runs_soon_after_it_is_due_and_not_before() -> None:
    async with open_site(note) as site:
        site.start()
        submission = await site.client.submit("note", Note(), id="a", after=timedelta(minutes=10))
        assert (submission.published, submission.sequence) == (False, None)
        assert submission.due_at == pytest.approx(site.clock.wall() + 600, abs=1)
        await site.clock.sleep(599)
        assert (await site.client.status("a")).state is JobState.SCHEDULED
        await site.ended("a", within=1 + RELEASED_WITHIN)
        assert (await site.client.status("a")).state is JobState.COMMITTED
        await site.at_rest()


@in_virtual_time
async def test_a_moment_with_a_zone_is_taken_and_one_without_is_refused() -> None:
    async with open_site(note) as site:
        site.start()
        at = datetime.fromtimestamp(site.clock.wall() + 60, UTC)
        await site.client.submit("note", Note(), id="a", at=at)
        with pytest.raises(ValueError, match="time zone"):
            await site.client.submit("note", Note(), id="b", at=at.replace(tzinfo=None))
        with pytest.raises(ValueError, match="either"):
            await site.client.submit("note", Note(), id="b", at=at, after=timedelta(1))
        with pytest.raises(ValueError, match="negative"):
            await site.client.submit("note", Note(), id="b", after=timedelta(-1))
        await site.clock.sleep(59)
        assert (await site.client.status("a")).state is JobState.SCHEDULED
        await site.ended("a", within=1 + RELEASED_WITHIN)
        assert await site.planes.inspection.job("b") is None


@in_virtual_time
async def test_a_follow_up_runs_so_long_after_the_commit() -> None:
    async with open_site(note) as site:
        site.start()
        await site.client.submit("note", Note(follow=True), id="a")
        await site.ended("a")
        assert (await site.client.status("later")).state is JobState.SCHEDULED
        await site.clock.sleep(299)
        assert (await site.client.status("later")).state is JobState.SCHEDULED
        await site.ended("later", within=2 + RELEASED_WITHIN)
        await site.at_rest()


@in_virtual_time
async def test_what_was_due_while_nobody_ran_runs_when_somebody_does_in_order_of_due_time() -> None:
    async with open_site(note, partitions=1) as site:
        for minutes in (3, 1, 2):
            await site.client.submit("note", Note(), id=f"{minutes}", after=timedelta(minutes=minutes))
        await site.clock.sleep(600)
        site.start()
        await site.ended("3", within=10)
        await site.at_rest()
        assert await site.log("note", "k") == ['{"id":"1"}', '{"id":"2"}', '{"id":"3"}']


@in_virtual_time
async def test_whoever_lives_releases_what_is_due_and_each_job_once() -> None:
    async with open_site(note, lease_ttl=6.0) as site:
        first, second = type(site.faults)(site.clock), type(site.faults)(site.clock)
        workers = [site.start("a", faults=first), site.start("b", faults=second)]
        for number in range(20):
            await site.client.submit(
                "note", Note(key=str(number)), id=f"j{number}", after=timedelta(seconds=30 + number)
            )
        await site.clock.sleep(35)
        await workers[0].crash()
        await site.ended("j19", within=60)
        await site.at_rest()
        assert sum([len(await site.log("note", str(number))) for number in range(20)]) == 20


@pytest.mark.parametrize("fault", [lost_request, lost_reply])
@in_virtual_time
async def test_a_release_that_is_lost_on_the_way_is_made_good(fault: object) -> None:
    async with open_site(note) as site:
        site.faults.once("store.release_due", *[fault] * 70)  # type: ignore[list-item]
        site.start()
        await site.client.submit("note", Note(), id="a", after=timedelta(seconds=30))
        await site.ended("a", within=60)
        await site.at_rest()


@in_virtual_time
async def test_a_cancelled_job_never_runs_though_it_is_due() -> None:
    async with open_site(note) as site:
        site.start()
        await site.client.submit("note", Note(), id="a", after=timedelta(seconds=30))
        await site.client.submit("note", Note(key="other"), id="b", after=timedelta(seconds=30))
        assert (await site.client.cancel("a")).cancelled
        assert await site.client.cancel_all("note", states=[JobState.SCHEDULED]) == 1
        await site.clock.sleep(60)
        await site.at_rest()
        assert await site.log("note", "k") == []


@in_virtual_time
async def test_only_one_worker_looks_for_what_is_due() -> None:
    async with open_site(note) as site:
        faults = [type(site.faults)(site.clock) for _ in range(3)]
        for number, one in enumerate(faults):
            site.start(f"w{number}", faults=one)
        await site.clock.sleep(10)
        before = [one.calls["store.release_due"] for one in faults]
        await site.clock.sleep(10)
        looks = [one.calls["store.release_due"] - earlier for one, earlier in zip(faults, before, strict=True)]
        assert sorted(looks)[:2] == [0, 0]
        assert 18 <= max(looks) <= 21
