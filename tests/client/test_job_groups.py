"""Groups of jobs as programs and processors say them, in virtual time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from jobkit import Context, Payload, Reject, processor
from jobkit.client import job_groups
from jobkit.errors import JobConflict, JobNotFound, UnknownType
from jobkit.model.job_state import JobState
from jobkit.ops.job_tree import job_tree, tree_lines, tree_view
from jobkit.plugin.processor import Processor
from tests.virtual_site import Site, in_virtual_time, open_site


class Part(Payload):
    number: int
    bad: bool = False


class Whole(Payload):
    name: str


class Split(Payload):
    name: str
    parts: int


@processor("part", key=lambda job: str(job.number))
async def part(job: Part, ctx: Context) -> int:
    if job.bad:
        raise Reject("no good")
    return job.number * 10


@processor("whole", key=lambda job: job.name)
async def whole(job: Whole, ctx: Context) -> list[Any]:
    return [member.load(int) async for member in ctx.members()]


@processor("split", key=lambda job: f"split {job.name}")
async def split(job: Split, ctx: Context) -> None:
    parts = [ctx.new_job("part", Part(number=number), id=f"{job.name}.{number}") for number in range(job.parts)]
    ctx.submit_group(parts, then=ctx.new_job("whole", Whole(name=job.name), id=job.name))


ALL: Sequence[Processor[Any, Any]] = (part, whole, split)


async def result(site: Site, id: str) -> bytes | None:
    return (await site.ended(id)).result


@in_virtual_time
async def test_a_program_fans_out_and_then_comes_in_the_end() -> None:
    async with open_site(*ALL) as site:
        site.start()
        group = await site.client.submit_group([Part(number=n) for n in range(5)], then=Whole(name="all"))
        assert await result(site, group.id) == b"[0,10,20,30,40]"
        known = await site.client.group(group.id)
        assert (known.members, known.committed, known.progress, known.settled) == (5, 5, 1.0, True)
        await site.at_rest()


@in_virtual_time
async def test_a_processor_fans_out_as_it_commits() -> None:
    async with open_site(*ALL) as site:
        site.start()
        await site.client.submit("split", Split(name="all", parts=3), id="first")
        await site.ended("first")
        assert await result(site, "all") == b"[0,10,20]"
        record = await site.client.status("all.1")
        assert (record.group, record.parent) == ("all", "first")


@in_virtual_time
async def test_then_runs_with_what_there_is() -> None:
    async with open_site(*ALL) as site:
        site.start()
        parts = [Part(number=1), Part(number=2, bad=True)]
        group = await site.client.submit_group(parts, then=Whole(name="all"), on_failure="run")
        assert await result(site, group.id) == b"[10,null]"


@in_virtual_time
async def test_a_large_group_is_declared_in_pages_and_begins_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_groups, "MEMBERS_AT_ONCE", 4)
    async with open_site(*ALL) as site:
        group = await site.client.submit_group([Part(number=n) for n in range(10)], then=Whole(name="all"), id="g")
        assert group.id == "g"
        # What is not released by this call is a worker's to release.
        site.start()
        assert (await site.ended("g")).state is JobState.COMMITTED
        again = await site.client.submit_group([Part(number=n) for n in range(10)], then=Whole(name="all"), id="g")
        assert again.known
        assert (await site.client.group("g")).members == 10
        assert [member.id async for member in site.client.members("g")] == [f"g.{n}" for n in range(1, 11)]


@in_virtual_time
async def test_a_group_that_was_broken_off_is_completed_by_submitting_it_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_groups, "MEMBERS_AT_ONCE", 4)
    async with open_site(*ALL) as site:
        parts = [site.client.job("part", Part(number=n), id=f"p{n}") for n in range(6)]
        then = site.client.job("whole", Whole(name="all"), id="g")
        await site.client.submit_many(next(job_groups.pages(parts, then, "wait")))
        site.start()
        await site.clock.sleep(30)
        assert {member.state async for member in site.client.members("g")} == {JobState.SCHEDULED}
        await site.client.submit_group(parts, then=then)
        assert (await site.ended("g")).state is JobState.COMMITTED


@in_virtual_time
async def test_cancelling_a_group_cancels_what_is_left_and_the_groups_within_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with open_site(*ALL) as site:
        client = site.client
        inner = client.job("split", Split(name="inner", parts=3), id="maker")
        others = [client.job("part", Part(number=n), id=f"other{n}") for n in range(3)]
        await client.submit_group([inner, *others], then=client.job("whole", Whole(name="all"), id="g"))
        await client.pause("part", reason="so that they wait")
        site.start()
        await site.ended("maker")
        lines = list(tree_lines(await job_tree(site.planes.store, site.planes.inspection, "g")))
        assert lines == [
            "g  whole  scheduled  (1 of 5 ended)",
            "|- maker  split  committed",
            "|- other0  part  queued",
            "|- other1  part  queued",
            "|- other2  part  queued",
            "`- inner  whole  scheduled  (0 of 3 ended)",
            "   |- inner.0  part  queued",
            "   |- inner.1  part  queued",
            "   `- inner.2  part  queued",
        ]
        view = tree_view(await job_tree(site.planes.store, site.planes.inspection, "maker"))
        assert [one["id"] for one in view["below"]] == ["inner"]
        assert await client.cancel_group("g") == 8
        await client.resume("part")
        ids = ["g", "inner", "other0", "inner.2"]
        assert {(await client.status(id)).state for id in ids} == {JobState.CANCELLED}
        await site.at_rest()


@in_virtual_time
async def test_what_makes_no_group_is_refused() -> None:
    async with open_site(*ALL) as site:
        client, then = site.client, Whole(name="all")
        with pytest.raises(ValueError, match="at least one member"):
            await client.submit_group([], then=then)
        with pytest.raises(ValueError, match="unique name"):
            await client.submit_group([client.job("part", Part(number=1), unique="one")], then=then)
        with pytest.raises(ValueError, match="none of"):
            await client.submit_group([Part(number=1)], then=then, on_failure="wrong")  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="give it to that"):
            await client.submit_group([Part(number=1)], then=client.job("whole", then), id="g")
        with pytest.raises(UnknownType):
            client.job("nothing", Part(number=1))
        await client.submit("part", Part(number=1), id="taken")
        with pytest.raises(JobConflict, match="'taken' cannot be a member"):
            await client.submit_group([client.job("part", Part(number=1), id="taken")], then=then)
        with pytest.raises(JobNotFound):
            await client.group("taken")
        with pytest.raises(JobNotFound):
            await client.cancel_group("taken")
