"""Jobs that are good only for so long: one that has not begun in time never runs, and who waits for it is told."""

from __future__ import annotations

from datetime import timedelta

import pytest

from jobkit import Context, Payload, processor
from jobkit.ports.inspection import JobState
from tests.faults.doubles import lost_reply, lost_request
from tests.virtual_site import in_virtual_time, open_site

# A look each half second.
ENDED_WITHIN = 0.55


class Note(Payload):
    key: str = "k"
    seconds: float = 0.0
    follow: bool = False


@processor("note", key=lambda job: job.key, ordered=True)
async def note(job: Note, ctx: Context) -> None:
    ctx.append("done", {"id": ctx.job.id})
    if job.follow:
        ctx.submit("note", Note(key="other"), id="follow", after=timedelta(60), expires=timedelta(minutes=5))
    await ctx.clock.sleep(job.seconds)


@in_virtual_time
async def test_a_job_that_waits_too_long_for_its_turn_expires_and_the_next_runs() -> None:
    async with open_site(note) as site:
        site.start()
        await site.client.submit("note", Note(seconds=100), id="long")
        await site.client.submit("note", Note(), id="a", expires=timedelta(seconds=30))
        await site.client.submit("note", Note(), id="b", expires=timedelta(seconds=300))
        await site.clock.sleep(29)
        assert (await site.client.status("a")).state is JobState.QUEUED
        await site.ended("a", within=2 + ENDED_WITHIN)
        record = await site.client.status("a")
        assert (record.state, record.reason) == (JobState.EXPIRED, "it had not begun in time")
        await site.ended("b", within=120)
        await site.at_rest()
        assert await site.log("note", "k") == ['{"id":"long"}', '{"id":"b"}']


@in_virtual_time
async def test_who_waits_for_it_is_told_at_once() -> None:
    async with open_site(note) as site:
        site.start()
        await site.client.submit("note", Note(seconds=100), id="long")
        await site.client.submit("note", Note(), id="a", expires=timedelta(seconds=30))
        seen = [job.state async for job in site.client.watch("a", timeout=40)]
        assert seen[-1] is JobState.EXPIRED


@in_virtual_time
async def test_what_nobody_ran_in_time_is_not_run_by_who_comes_later() -> None:
    async with open_site(note) as site:
        await site.client.submit("note", Note(), id="a", expires=timedelta(seconds=30))
        await site.client.submit("note", Note(key="l"), id="b", after=timedelta(60), expires=timedelta(seconds=30))
        await site.clock.sleep(60)
        site.start()
        await site.ended("a", within=10)
        await site.ended("b", within=10)
        await site.at_rest()
        assert await site.log("note", "k") == await site.log("note", "l") == []


@in_virtual_time
async def test_a_follow_up_expires_so_long_after_the_commit() -> None:
    async with open_site(note) as site:
        site.start()
        await site.client.submit("note", Note(follow=True), id="a")
        await site.ended("a")
        await site.clock.sleep(298)
        assert (await site.client.status("follow")).state is JobState.SCHEDULED
        await site.ended("follow", within=5)
        assert (await site.client.status("follow")).state is JobState.EXPIRED


@pytest.mark.parametrize("fault", [lost_request, lost_reply])
@in_virtual_time
async def test_a_look_that_is_lost_on_the_way_is_made_good(fault: object) -> None:
    async with open_site(note) as site:
        site.faults.once("store.expire_due", *[fault] * 20)  # type: ignore[list-item]
        await site.client.submit("note", Note(), id="a", after=timedelta(100), expires=timedelta(seconds=5))
        site.start()
        await site.ended("a", within=60)
        await site.at_rest()
