"""Slots for each type: fewer of some, and what waits for one of those keeps nobody else waiting."""

from __future__ import annotations

from collections import Counter

import anyio
import pytest

from jobkit import Context, Payload, processor
from jobkit.model.concurrency import Concurrency
from jobkit.runner.type_slots import TypeSlots
from jobkit.testing.virtual_time import VirtualClock
from tests.virtual_site import in_virtual_time, open_site


class Running:
    """How many run, and the most that ever did, by type."""

    def __init__(self, concurrency: Concurrency) -> None:
        self.slots = TypeSlots(concurrency, VirtualClock())
        self.now: Counter[str] = Counter()
        self.most: Counter[str] = Counter()
        self.done: Counter[str] = Counter()

    async def job(self, type: str, *, wire: float = 0.01, work: float = 1.0, again: bool = False) -> None:
        async with self.slots.admitted(type) as slot:
            await anyio.sleep(wire)
            for _ in range(1 + again):
                await slot.begin()
                self.now[type] += 1
                self.most[type] = max(self.most[type], self.now[type])
                self.most["all"] = max(self.most["all"], self.now.total())
                await anyio.sleep(work)
                self.now[type] -= 1
                slot.end()
                if again:
                    slot.give_back()
                    await anyio.sleep(1)
        self.done[type] += 1


@in_virtual_time
async def test_of_a_limited_type_no_more_run_and_of_all_no_more_in_sum() -> None:
    running = Running(Concurrency(3, {"long": 1}))
    async with anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(running.job, "long")
            tasks.start_soon(running.job, "short")
    assert running.most == {"long": 1, "short": 3, "all": 3}


@in_virtual_time
async def test_long_jobs_that_wait_keep_no_others_waiting() -> None:
    running = Running(Concurrency(2, {"long": 1}))
    async with anyio.create_task_group() as tasks:
        for _ in range(50):
            tasks.start_soon(lambda: running.job("long", work=1_000))
        await anyio.sleep(1)
        for _ in range(50):
            tasks.start_soon(lambda: running.job("short", work=0.1))
        await anyio.sleep(10)
        assert running.done["short"] == 50
        tasks.cancel_scope.cancel()


@in_virtual_time
async def test_who_gave_its_slots_back_waits_for_both_again() -> None:
    running = Running(Concurrency(2, {"long": 1}))
    async with anyio.create_task_group() as tasks:
        for _ in range(5):
            tasks.start_soon(lambda: running.job("long", again=True))
            tasks.start_soon(lambda: running.job("short", again=True))
    assert running.done == {"long": 5, "short": 5}
    assert running.most["long"] == 1


@pytest.mark.parametrize("moment", [0.005, 0.5, 1.5])
@in_virtual_time
async def test_who_is_cancelled_while_waiting_or_running_leaves_nothing_taken(moment: float) -> None:
    running = Running(Concurrency(1, {"long": 1}))
    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(running.job, "long")
            tasks.start_soon(running.job, "short")
        await anyio.sleep(moment)
        tasks.cancel_scope.cancel()
    with anyio.fail_after(5):
        await running.job("long")
        await running.job("short")


class Step(Payload):
    key: str
    seconds: float


@in_virtual_time
async def test_a_worker_runs_fewer_of_a_type_and_the_others_meanwhile() -> None:
    async def work(job: Step, ctx: Context) -> None:
        await ctx.clock.sleep(job.seconds)

    types = [processor(type, key=lambda job: job.key)(work) for type in ("long", "short")]
    async with open_site(*types, concurrency="4,long=1") as site:
        site.start()
        for number in range(6):
            await site.client.submit("long", Step(key=f"k{number}", seconds=100), id=f"long-{number}")
        await site.clock.sleep(2)
        for number in range(30):
            await site.client.submit("short", Step(key=f"k{number}", seconds=0.5), id=f"short-{number}")
        for number in range(30):
            await site.ended(f"short-{number}", within=15)
        running = [job for job in await site.planes.inspection.jobs(type="long") if job.state == "running"]
        # One that runs, and none that holds its key's lease and cannot begin.
        assert len(running) == 1
