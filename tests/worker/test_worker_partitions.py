"""Whole workers in virtual time: the number of partitions is changed while they work, and jobs are submitted."""

from __future__ import annotations

from collections.abc import Sequence

import anyio
import pytest

from jobkit.backends.sqlite.broker import SqliteBroker
from jobkit.client.client import Client
from jobkit.client.layouts import Layouts
from jobkit.client.submission import Submission
from jobkit.model.layout import Layout
from jobkit.model.partition import Partition
from jobkit.model.priority import Priority
from jobkit.ports.store import Accepted
from tests.errands import Errands
from tests.faults.doubles import Faults
from tests.steps import Step, loose, step
from tests.virtual_site import Site, in_virtual_time, open_site

KEYS = 7


async def change(site: Site, partitions: int, type: str = "loose") -> None:
    """Ask for another number of partitions, as the command does."""
    layouts = Layouts(site.planes.store, site.settings.partitions, site.clock)
    assert await layouts.change(type, lambda now: now.announced(partitions)) is not None


async def layout(site: Site, type: str = "loose") -> Layout:
    return (await site.planes.store.layouts())[type]


async def settled(site: Site, type: str = "loose", within: float = 60.0) -> float:
    """Wait until a change has come to its end, queues removed and all; return how long that took."""

    async def done() -> bool:
        return (await layout(site, type)).settled

    return await site.until(done, within)


async def submit(site: Site, first: int, last: int, type: str = "loose") -> list[Submission]:
    """Submit one after another to several keys, each job with its place on its key."""
    done = []
    for place in range(first, last):
        job = Step(on=f"k{place % KEYS}", number=1 + place // KEYS)
        done.append(await site.client.submit(type, job, id=f"{type}-{place}"))
        await site.clock.sleep(0.1)
    return done


async def assert_in_order(site: Site, submissions: Sequence[Submission], type: str = "loose") -> None:
    """Check that each job is committed once, and in the order in which it was submitted to its key."""
    for submission in submissions:
        assert (await site.ended(submission.id)).state == "committed"
    for key in range(KEYS):
        entries = await site.planes.inspection.log(type, f"k{key}")
        places = [int(entry.job_id.rpartition("-")[2]) for entry in entries]
        assert places == list(range(key, len(submissions), KEYS))


@in_virtual_time
@pytest.mark.parametrize("type", ["loose", "step"])
async def test_up_and_down_while_jobs_are_submitted_each_is_done_once_and_in_order(type: str) -> None:
    """single-effect, order, nothing-lost."""
    async with open_site(loose, step, partitions=1) as site:
        site.start("a")
        site.start("b")
        done: list[Submission] = []
        async with anyio.create_task_group() as tasks:

            async def submit_all() -> None:
                done.extend(await submit(site, 0, 700, type))

            tasks.start_soon(submit_all)
            await site.clock.sleep(3)
            for number in (8, 2, 5):
                await change(site, number, type)
                assert await settled(site, type) < 25
                assert len([one for one in await site.planes.broker.depths() if one.partition.type == type]) == number
                leaders = await site.leaders()
                assert {name for name in leaders if f"/{type}/" in name} == {
                    f"leader/{type}/{index}" for index in range(number)
                }
        assert any(not submission.published for submission in done)
        await assert_in_order(site, done, type)
        assert site.witness.count("jobkit.messages.lost") == 0
        assert site.witness.count("jobkit.duplicates") == 0
        assert site.witness.count("jobkit.gaps") == 0
        await site.at_rest()


@in_virtual_time
@pytest.mark.parametrize("type", ["loose", "step"])
@pytest.mark.parametrize("lag", [0.0, 0.3, 0.7])
async def test_clients_that_hear_of_a_change_one_after_another_do_not_overtake_each_other(
    type: str, lag: float
) -> None:
    """order: one leaves a job in the outbox, and the next one is published by another who knows more."""
    async with open_site(loose, step, partitions=2, relay_grace=5.0) as site:
        site.start("a")
        first, second = Client(site.planes, site.registry, site.settings, site.clock), site.client
        await first.submit(type, Step(on="k0", number=0), id=f"{type}-0")
        await site.clock.sleep(lag)
        await change(site, 5, type)
        done = 1
        while not (await layout(site, type)).settled or done % 100:
            client = (first, second)[done % 2]
            await client.submit(type, Step(on="k0", number=done), id=f"{type}-{done}")
            done += 1
            await site.clock.sleep(0.05)
        assert (await site.ended(f"{type}-{done - 1}")).state == "committed"
        entries = await site.planes.inspection.log(type, "k0", limit=10_000)
        assert [entry.job_id for entry in entries] == [f"{type}-{number}" for number in range(done)]
        assert site.witness.count("jobkit.gaps") == 0
        await site.at_rest()


@in_virtual_time
async def test_a_backlog_is_spread_and_keeps_its_order() -> None:
    """order: what waited in one queue, and is not numbered, runs in the order in which it came."""
    async with open_site(loose, partitions=1, prefetch=10) as site:
        before = await submit(site, 0, 350)
        site.start("a")
        await change(site, 4)
        later = await submit(site, 350, 700)
        await settled(site, within=120)
        assert (await layout(site)).partitions == 4
        await assert_in_order(site, [*before, *later])
        await site.at_rest()


@in_virtual_time
async def test_a_change_that_is_overtaken_by_another_and_workers_that_die_in_it_come_to_an_end() -> None:
    """nothing-lost: a killed worker's queues are moved by the next one."""
    async with open_site(loose, partitions=2) as site:
        first = site.start("a", faults=Faults(site.clock))
        before = await submit(site, 0, 70)
        await change(site, 6)
        await site.clock.sleep(1.5)
        await first.crash()
        later = await submit(site, 70, 140)
        await change(site, 3)
        site.start("b")
        await settled(site, within=120)
        assert (await layout(site)).partitions == 3
        assert len(await site.planes.broker.depths()) == 3
        await assert_in_order(site, [*before, *later])
        await site.at_rest()


@in_virtual_time
async def test_queues_that_are_removed_slowly_are_not_made_again_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    """bounded: who looks after missing queues, and who has just started, leave alone what nobody is to lead."""
    removing = SqliteBroker.remove

    async def remove(self: SqliteBroker, partition: Partition) -> bool:
        gone = await removing(self, partition)
        await anyio.sleep(3.0)
        return gone

    monkeypatch.setattr(SqliteBroker, "remove", remove)
    async with open_site(loose, partitions=6, republish_seconds=1.0) as site:
        site.start("a")
        await site.ended((await site.client.submit("loose", Step(on="k0", number=1))).id)
        await change(site, 1)
        await site.until(lambda: _removing(site), 60.0)
        site.start("b")
        assert await settled(site) < 20
        assert [depth.partition.index for depth in await site.planes.broker.depths()] == [0]
        await site.at_rest()


async def _removing(site: Site) -> bool:
    return len(await site.planes.broker.depths()) < 6


@in_virtual_time
async def test_what_comes_into_the_wrong_queue_is_moved_on_from_there() -> None:
    """nothing-lost: a publisher that goes by another number than the one in force."""
    async with open_site(loose, partitions=3) as site:
        site.start("a")
        job = site.client.job("loose", Step(on="k", number=1), id="astray")
        (accepted,) = await site.planes.store.submit([job])
        right = Layout.first(3).partition("loose", "k")
        wrong = Partition("loose", (right.index + 1) % 3)
        await site.until(lambda: len(site.workers[0].worker._leaderships.led) == 3)
        assert isinstance(accepted, Accepted)
        assert accepted.position is not None
        await site.planes.broker.publish([(wrong, job.envelope)])
        await site.planes.store.published([accepted.position])
        assert (await site.ended("astray")).state == "committed"
        await site.at_rest()


@in_virtual_time
async def test_a_long_job_goes_on_through_a_change_and_runs_once() -> None:
    """single-effect, no-lease-no-work: its key belongs to another partition meanwhile."""
    async with open_site(step, partitions=2) as site:
        site.start("a")
        long = await site.client.submit("step", Step(on="k", number=1, seconds=40))
        await site.until(lambda: any(led.busy for led in site.workers[0].worker._leaderships.led))
        await change(site, 7, "step")
        await settled(site, "step")
        behind = await site.client.submit("step", Step(on="k", number=2))
        assert (await site.ended(behind.id)).state == "committed"
        assert (await site.planes.inspection.job(long.id)).opens == 1  # type: ignore[union-attr]
        await site.at_rest()


@in_virtual_time
async def test_settings_that_differ_do_no_harm_once_the_store_has_a_number() -> None:
    async with open_site(loose, partitions=4) as site:
        await change(site, 4)
        site.settings = site.settings.model_copy(update={"partitions": 2})
        site.start("a")
        await settled(site)
        (submission,) = await submit(site, 0, 1)
        assert (await site.ended(submission.id)).state == "committed"
        assert len(await site.leaders()) == 4


@in_virtual_time
@pytest.mark.parametrize(("before", "after"), [(4, 1), (1, 4)])
async def test_a_change_takes_what_waits_in_all_bands_with_it(before: int, after: int) -> None:
    """single-effect, nothing-lost: also of priorities that are changed, and of those whose partition goes."""
    errands = Errands()
    async with open_site(*errands.processors, partitions=before, prefetch=10, concurrency="2") as site:
        ids: list[str] = []
        for priority in Priority:
            jobs = [
                site.client.job("errand", {"name": f"{priority}{n}", "seconds": 2.0}, priority=priority)
                for n in range(60)
            ]
            ids += [job.id for job in await site.client.submit_many(jobs)]
        site.start("a")
        site.start("b")
        await site.until(lambda: len(errands.began) > 10)
        await change(site, after, "errand")
        await site.client.reprioritize_all("errand", "low")
        ids += [(await site.client.submit("errand", {"name": "last"}, priority="high")).id]
        await settled(site, "errand")
        depths = await site.planes.broker.depths()
        assert [one.partition.index for one in depths if one.partition.type == "errand"] == list(range(after))
        asked = site.clock.now()
        ids += [(await site.client.submit("errand", {"name": "urgent"}, priority="high")).id]
        assert len(errands.began) < 180
        await site.until(lambda: "urgent" in errands.began, 5)
        assert errands.began["urgent"] - asked <= 2.0
        for id in ids:
            assert (await site.ended(id, 600)).state == "committed"
        assert site.witness.count("jobkit.messages.lost") == 0
        await site.at_rest()
