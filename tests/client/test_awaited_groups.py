"""A job that waits for a group of its own, as processors and programs see it, in virtual time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from jobkit import Context, Payload, Reject, processor
from jobkit.errors import JobDead
from jobkit.model.job_state import JobState
from jobkit.ops.job_tree import job_tree
from jobkit.plugin.processor import Processor
from tests.faults.doubles import Faults
from tests.virtual_site import Site, in_virtual_time, open_site


class Scene(Payload):
    number: int
    bad: bool = False


class Film(Payload):
    title: str
    scenes: int
    bad: int = -1


planned: list[str] = []


async def plan(film: Film) -> list[int]:
    planned.append(film.title)
    return list(range(film.scenes))


@processor("scene", key=lambda job: str(job.number), timeout=timedelta(minutes=5))
async def scene(job: Scene, ctx: Context) -> int:
    await ctx.clock.sleep(10)
    if job.bad:
        raise Reject("no good")
    return job.number * 10


@processor("film", key=lambda job: job.title)
async def film(job: Film, ctx: Context) -> list[int | None]:
    numbers = await ctx.step("plan", plan, job)
    scenes = [Scene(number=number, bad=number == job.bad) for number in numbers]
    await ctx.await_group(scenes, on_failure="run", until=0.5, message="scenes")
    ctx.append("shown", {"title": job.title})
    return [member.load(int) async for member in ctx.members()]


@processor("strict", key=lambda job: job.title)
async def strict(job: Film, ctx: Context) -> None:
    await ctx.await_group([Scene(number=0, bad=True)], on_failure="die")


@processor("turn", key=lambda job: job.title, ordered=True)
async def turn(job: Film, ctx: Context) -> None:
    await ctx.await_group([Scene(number=0)])


ALL: Sequence[Processor[Any, Any]] = (scene, film, strict, turn)


async def begun(site: Site, id: str) -> None:
    """Wait until the job waits for its group, and a member runs."""

    async def runs() -> bool:
        return any([one.state is JobState.RUNNING async for one in site.client.members(id)])

    while not await runs():
        await site.clock.sleep(0.1)


@in_virtual_time
async def test_one_job_is_submitted_and_its_result_is_what_its_members_came_to() -> None:
    planned.clear()
    async with open_site(*ALL) as site:
        site.start()
        handle = await film.submit(site.client, Film(title="ants", scenes=3))
        said = [(one.state, round(one.fraction, 2), one.message) async for one in handle.progress()]
        assert await handle.result() == [0, 10, 20]
        assert planned == ["ants"]
        waits = [one for one in said if one[0] is JobState.SCHEDULED]
        assert waits[0][1:] == (0.0, "scenes: 0 of 3")
        fractions = [fraction for _, fraction, _ in said]
        assert fractions == sorted(fractions)
        log = await site.planes.inspection.log("film", "ants")
        assert [entry.kind for entry in log] == ["shown"]
        tree = await job_tree(site.planes.store, site.planes.inspection, handle.id)
        assert [one.type for one in tree.below] == ["scene"] * 3
        await site.at_rest()


@in_virtual_time
async def test_a_worker_of_one_slot_is_enough() -> None:
    async with open_site(*ALL, concurrency=1) as site:
        site.start()
        films = [await film.submit(site.client, Film(title=title, scenes=2)) for title in ("ants", "bees")]
        for handle in films:
            assert await handle.result() == [0, 10]


@in_virtual_time
async def test_a_worker_that_dies_costs_the_members_it_had() -> None:
    planned.clear()
    async with open_site(*ALL, lease_ttl=6.0, lease_guard=1.0) as site:
        first = site.start("a", faults=Faults(site.clock))
        handle = await film.submit(site.client, Film(title="ants", scenes=4))
        await begun(site, handle.id)
        await first.crash()
        site.start("b")
        assert await handle.result() == [0, 10, 20, 30]
        assert planned == ["ants"]


@in_virtual_time
async def test_members_that_failed_are_told_or_end_the_job() -> None:
    async with open_site(*ALL) as site:
        site.start()
        handle = await film.submit(site.client, Film(title="ants", scenes=3, bad=1))
        assert await handle.result() == [0, None, 20]
        lost = await strict.submit(site.client, Film(title="bees", scenes=1))
        with pytest.raises(JobDead, match="members of its group failed"):
            await lost.result()


@in_virtual_time
async def test_an_abandoned_job_takes_its_members_with_it() -> None:
    async with open_site(*ALL, concurrency=1) as site:
        site.start()
        handle = await film.submit(site.client, Film(title="ants", scenes=30))
        await begun(site, handle.id)
        assert (await handle.cancel()).cancelled
        for member in [one async for one in site.client.members(handle.id)]:
            assert (await site.ended(member.id)).state in (JobState.CANCELLED, JobState.COMMITTED)
        group = await site.client.group(handle.id)
        assert group.abandoned
        assert group.cancelled > 15
        await site.at_rest()


@in_virtual_time
async def test_a_job_in_an_order_cannot_wait() -> None:
    async with open_site(*ALL) as site:
        site.start()
        handle = await turn.submit(site.client, Film(title="ants", scenes=1))
        with pytest.raises(JobDead, match="has a place in an order"):
            await handle.result()
