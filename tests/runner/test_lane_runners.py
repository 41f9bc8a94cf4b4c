"""Lanes share the tasks they run in, and none waits for another's."""

from __future__ import annotations

from tests.steps import Step, loose
from tests.virtual_site import in_virtual_time, open_site


@in_virtual_time
async def test_a_task_that_is_done_with_one_key_takes_the_next() -> None:
    async with open_site(loose, partitions=1) as site:
        site.start()
        for number in range(20):
            job = await site.client.submit("loose", Step(on=f"k{number}"))
            await site.ended(job.id)
        (led,) = site.workers[0].worker._leaderships.led
        assert led._in_hand._idle_runners == 1


@in_virtual_time
async def test_keys_that_arrive_together_do_not_wait_for_each_other() -> None:
    """One task is idle and three keys arrive: each has to have a task."""
    async with open_site(loose, partitions=1) as site:
        site.start()
        first = await site.client.submit("loose", Step(on="first"))
        await site.ended(first.id)
        started = site.clock.now()
        jobs = [site.client.job("loose", Step(on=f"k{number}", seconds=10)) for number in range(3)]
        for submission in await site.client.submit_many(jobs):
            await site.ended(submission.id)
        assert site.clock.now() - started < 15


@in_virtual_time
async def test_tasks_without_a_lane_do_not_keep_a_drained_worker() -> None:
    async with open_site(loose, partitions=1) as site:
        running = site.start()
        job = await site.client.submit("loose", Step())
        await site.ended(job.id)
        started = site.clock.now()
        await running.drain()
        assert site.clock.now() - started < 1
