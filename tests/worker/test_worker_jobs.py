"""A whole worker in virtual time: jobs that go well, and the order they go in."""

from __future__ import annotations

import json

import anyio

from jobkit import Context, Payload, Result, processor
from jobkit.model.envelope import Envelope
from jobkit.model.partition import Partition, partition_of
from tests.steps import Step, loose, step
from tests.virtual_site import Site, in_virtual_time, open_site


class Sum(Result):
    total: int


class Counted(Payload):
    """Something whose effects build on those of the job before."""

    on: str
    add: int


async def _publish(site: Site, type: str, body: str, **head: object) -> None:
    """Publish as a foreign publisher would."""
    key = str(head.get("key") or json.loads(body).get("on"))
    envelope = Envelope(type=type, body=body.encode(), **head)  # type: ignore[arg-type]
    await site.planes.broker.declare(type, site.settings.partitions)
    await site.planes.broker.publish([(Partition(type, partition_of(key, site.settings.partitions)), envelope)])


@in_virtual_time
async def test_a_job_commits_its_result_records_and_log_together() -> None:
    @processor("counted", key=lambda job: job.on, ordered=True)
    async def counted(job: Counted, ctx: Context) -> Sum:
        before = await ctx.read("sum", Sum)
        now = Sum(total=(before.total if before else 0) + job.add)
        ctx.record("sum", now)
        ctx.append("added", {"add": job.add})
        await ctx.progress(0.5, "half")
        return now

    async with open_site(counted) as site:
        site.start()
        for add in (1, 2):
            job = await site.client.submit("counted", Counted(on="k", add=add))
        record = await site.ended(job.id)
        assert (record.state, record.result, record.sequence) == ("committed", b'{"total":3}', 2)
        assert (record.owner, record.opens, record.failures) == ("a", 1, ())
        assert await site.log("counted", "k") == ['{"add":1}', '{"add":2}']
        assert await site.planes.store.record("counted", "k", "sum") == b'{"total":3}'
        assert site.witness.count("jobkit.jobs", {"outcome": "committed"}) == 2
        await site.at_rest()
        assert await site.free()


@in_virtual_time
async def test_jobs_of_one_key_run_one_by_one_and_those_of_others_beside_them() -> None:
    running: set[str] = set()
    together: list[set[str]] = []

    @processor("watched", key=lambda job: job.on)
    async def watched(job: Step, ctx: Context) -> None:
        assert job.on not in running
        running.add(job.on)
        together.append(set(running))
        await ctx.clock.sleep(1)
        running.remove(job.on)

    async with open_site(watched) as site:
        site.start()
        jobs = [
            await site.client.submit("watched", Step(on=on, number=number)) for number in range(3) for on in ("x", "y")
        ]
        for job in jobs:
            assert (await site.ended(job.id)).state == "committed"
        assert {"x", "y"} in together


@in_virtual_time
async def test_no_more_jobs_run_than_the_concurrency_allows() -> None:
    running = most = 0

    @processor("watched", key=lambda job: job.on)
    async def watched(job: Step, ctx: Context) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await ctx.clock.sleep(1)
        running -= 1

    async with open_site(watched, concurrency=3) as site:
        site.start()
        started = site.clock.now()
        for number in range(9):
            job = await site.client.submit("watched", Step(on=f"k{number}"))
        await site.at_rest()
        assert (await site.ended(job.id)).state == "committed"
        assert most == 3
        assert 3 <= site.clock.now() - started < 4


@in_virtual_time
async def test_messages_of_a_foreign_publisher_run_in_the_order_of_their_queue() -> None:
    """A message needs only type, id and body; its key is derived from the payload."""
    async with open_site(loose) as site:
        for number in range(1, 6):
            await _publish(site, "loose", Step(number=number).model_dump_json(), id=f"job-{number}")
        site.start()
        await site.at_rest()
        assert await site.log("loose", "k") == [f'{{"number":{number}}}' for number in range(1, 6)]
        assert (await site.ended("job-1")).key == "k"


@in_virtual_time
async def test_a_foreign_publishers_sequence_rules_over_the_order_of_the_queue() -> None:
    """order."""
    async with open_site(step) as site:
        for number in (2, 3, 1):
            await _publish(
                site, "step", Step(number=number).model_dump_json(), id=f"job-{number}", key="k", sequence=number
            )
        site.start()
        await site.at_rest()
        assert await site.log("step", "k") == [f'{{"number":{number}}}' for number in range(1, 4)]


@in_virtual_time
async def test_the_same_submission_twice_is_one_job() -> None:
    """single-effect."""
    async with open_site(step) as site:
        site.start()
        first = await site.client.submit("step", Step(), id="mine")
        again = await site.client.submit("step", Step(), id="mine")
        assert (first.known, again.known, again.sequence) == (False, True, 1)
        await site.ended("mine")
        assert (await site.client.submit("step", Step(), id="mine")).known
        assert await site.log("step", "k") == ['{"number":1}']


@in_virtual_time
async def test_a_message_that_is_there_twice_takes_effect_once() -> None:
    """single-effect."""
    async with open_site(loose) as site:
        for _ in range(3):
            await _publish(site, "loose", Step().model_dump_json(), id="mine")
        site.start()
        await site.at_rest()
        assert await site.log("loose", "k") == ['{"number":1}']
        assert site.witness.count("jobkit.duplicates") == 2


@in_virtual_time
async def test_follow_up_jobs_exist_only_once_their_job_has_committed() -> None:
    """nothing-lost: a follow-up is submitted if, and only if, its job commits."""
    seen: list[int] = []
    tries = 0

    @processor("parent", key=lambda job: job.on)
    async def parent(job: Step, ctx: Context) -> str:
        nonlocal tries
        tries += 1
        follow_up = ctx.submit("step", Step(number=tries))
        if tries == 1:
            raise RuntimeError("this attempt leaves nothing behind")
        assert await site.planes.inspection.job(follow_up) is None
        return follow_up

    async with open_site(parent, step) as site:
        site.start()
        job = await site.client.submit("parent", Step())
        follow_up = json.loads((await site.ended(job.id)).result or b"")
        record = await site.ended(follow_up)
        assert record.state == "committed"
        assert await site.log("step", "k") == ['{"number":2}']
        assert len(await site.planes.inspection.jobs()) == 2
        assert seen == []


@in_virtual_time
async def test_a_follow_up_says_when_it_was_submitted() -> None:
    @processor("parent", key=lambda job: job.on)
    async def parent(job: Step, ctx: Context) -> str:
        return ctx.submit("step", Step())

    async with open_site(parent, step) as site:
        site.start()
        job = await site.client.submit("parent", Step())
        follow_up = json.loads((await site.ended(job.id)).result or b"")
        record = await site.ended(follow_up)
        assert 0 <= site.clock.wall() - record.submitted_at < 1


@in_virtual_time
async def test_an_ordered_follow_up_of_its_own_key_waits_for_its_turn() -> None:
    @processor("again", key=lambda job: job.on, ordered=True)
    async def again(job: Step, ctx: Context) -> None:
        ctx.append("run", {"number": job.number})
        if job.number < 4:
            ctx.submit("again", Step(number=job.number + 1))

    async with open_site(again) as site:
        site.start()
        await site.client.submit("again", Step(number=1))
        await site.until(lambda: site.witness.count("jobkit.jobs", {"outcome": "committed"}) == 4)
        assert await site.log("again", "k") == [f'{{"number":{number}}}' for number in range(1, 5)]
        await site.at_rest()


@in_virtual_time
async def test_jobs_accepted_while_no_worker_runs_are_done_when_one_starts() -> None:
    """nothing-lost."""
    async with open_site(step) as site:
        jobs = [await site.client.submit("step", Step(number=number)) for number in range(1, 4)]
        await anyio.sleep(500)
        site.start()
        for job in jobs:
            assert (await site.ended(job.id)).state == "committed"
