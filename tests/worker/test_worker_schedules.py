"""Schedules on whole workers: each tick makes one job, whoever leads, whatever dies, and however clocks go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import anyio
import anyio.lowlevel
import pytest

from jobkit import Context, Payload, processor, schedule
from jobkit.client.schedules import ScheduleBook
from jobkit.errors import ConfigurationError, ScheduleNotFound
from jobkit.model.schedule import load_schedule
from jobkit.model.ticks import tick_id
from jobkit.plugin.registry import Registry
from jobkit.ports.inspection import JobRecord, JobState
from jobkit.ports.store import OutboxEntry
from jobkit.worker.maintenance.declared_schedules import FORGOTTEN_SECONDS
from jobkit.worker.maintenance.schedule_ticks import Ticker
from tests.faults.doubles import Faults, faulty_planes, lost_reply
from tests.virtual_site import Site, in_virtual_time, open_site

# A look each half second.
FIRED_WITHIN = 0.6


class Report(Payload):
    of: str = "all"
    seconds: float = 0.0


@processor("report", key=lambda job: job.of)
async def report(job: Report, ctx: Context) -> None:
    ctx.append("made", {"id": ctx.job.id})
    await anyio.sleep(job.seconds)


minutely = schedule("minutely", every=timedelta(minutes=1), job=Report())


async def ticks(site: Site, name: str) -> list[JobRecord]:
    """Return the jobs of a schedule, the oldest first."""
    jobs = await site.planes.inspection.jobs(limit=10_000)
    return sorted((job for job in jobs if job.id.startswith(f"{name}@")), key=lambda job: job.id)


def declaring(site: Site, *declared: object) -> None:
    """Have the workers that start from now on declare these."""
    site.registry = Registry(site.registry.processors.values(), schedules=declared)  # type: ignore[arg-type]


async def add(site: Site, name: str, seconds: float, *, takes: float = 0.0, **more: object) -> None:
    job = Report(of=name, seconds=takes)
    await site.client.schedules.add(name, "report", job, every=timedelta(seconds=seconds), **more)  # type: ignore[arg-type]


@in_virtual_time
async def test_a_declared_schedule_fires_once_a_tick_soon_after_it_is_due() -> None:
    async with open_site(report) as site:
        declaring(site, minutely)
        site.start()
        await site.clock.sleep(310)
        jobs = await ticks(site, "minutely")
        assert len(jobs) == 5
        assert all(job.state is JobState.COMMITTED for job in jobs)
        for job in jobs:
            assert job.submitted_at % 60 < FIRED_WITHIN
        (status,) = await site.client.schedules.list()
        assert status.schedule is not None
        assert (status.last_outcome, status.schedule.declared) == ("committed", True)
        assert status.schedule.last is not None
        assert status.schedule.last.job == jobs[-1].id
        await site.at_rest()


@pytest.mark.parametrize("seconds", [300, 45], ids=["rarer", "oftener"])
@in_virtual_time
async def test_a_tick_that_was_due_before_its_schedule_was_changed_fires_once(seconds: int) -> None:
    async with open_site(report) as site:
        declaring(site, minutely)
        worker = site.start()
        await site.clock.sleep(5)
        await worker.drain()
        while await site.planes.inspection.wall_time() % 900 < 630:
            await site.clock.sleep(1)
        before = await site.planes.inspection.wall_time()
        changed = schedule("minutely", every=timedelta(seconds=seconds), job=Report(of="new"))
        declaring(site, changed)
        for name in ("a", "b"):
            site.start(name)
        await site.clock.sleep(20)
        (missed,) = await ticks(site, "minutely")
        assert (missed.key, missed.state) == ("all", JobState.COMMITTED)
        assert missed.id == tick_id("minutely", before // 60 * 60)
        await site.clock.sleep(seconds)
        later = (await ticks(site, "minutely"))[1:]
        assert [job.key for job in later] == ["new"]
        await site.at_rest()


@in_virtual_time
async def test_another_jitter_alone_loses_no_tick() -> None:
    async with open_site(report) as site:
        declaring(site, minutely)
        worker = site.start()
        await site.clock.sleep(5)
        await worker.drain()
        await site.clock.sleep(60)
        declaring(site, schedule("minutely", every=timedelta(minutes=1), job=Report(), jitter=timedelta(seconds=20)))
        site.start("b")
        await site.clock.sleep(60)
        assert len(await ticks(site, "minutely")) == 2
        await site.at_rest()


async def _published_by_nobody(entries: Sequence[OutboxEntry]) -> None:
    """Leave the entries to the sweeper."""


@in_virtual_time
async def test_two_who_lead_at_once_fire_each_tick_once() -> None:
    async with open_site(report) as site:
        await add(site, "s", 10)
        site.start()
        # Leaders that nothing can convince that they are none.
        others = [
            Ticker(
                site.planes.inspection,
                _published_by_nobody,
                leads=lambda: True,
                clock=site.clock,
                telemetry=site.witness.telemetry,
            )
            for _ in range(3)
        ]
        async with anyio.create_task_group() as running:
            for other in others:
                running.start_soon(other.run)
            await site.clock.sleep(105)
            running.cancel_scope.cancel()
        await site.clock.sleep(30)
        assert len(await ticks(site, "s")) == 13
        assert len(set(await site.log("report", "s"))) == len(await site.log("report", "s"))


@in_virtual_time
async def test_who_loses_the_answer_of_a_tick_does_not_fire_it_again() -> None:
    async with open_site(report) as site:
        await add(site, "s", 10)
        site.faults.once("inspection.save_schedule", *[lost_reply] * 3)
        site.start()
        await site.clock.sleep(25)
        assert len(await ticks(site, "s")) == 2
        assert len(await site.log("report", "s")) == 2


@in_virtual_time
async def test_another_worker_fires_on_after_the_one_that_led_is_gone() -> None:
    async with open_site(report) as site:
        await add(site, "s", 10, missed="all")
        first = site.start("a", faults=Faults(site.clock))
        await site.clock.sleep(5)
        site.start("b")
        await site.clock.sleep(20)
        await first.crash()
        await site.clock.sleep(100)
        # None is lost, and none is doubled.
        jobs = await ticks(site, "s")
        assert len(jobs) in (12, 13)
        assert len(await site.log("report", "s")) == len(jobs)


@in_virtual_time
async def test_missed_ticks_fire_as_each_schedule_says() -> None:
    async with open_site(report) as site:
        for missed in ("skip", "latest", "all"):
            await add(site, missed, 60, missed=missed, grace=timedelta(seconds=1))
        await add(site, "bounded", 60, missed="all", bound=3)
        start = site.clock.wall()
        # Nobody was there; who comes does so in the middle of a minute.
        await site.clock.sleep(630 - start % 60)
        site.start()
        await site.clock.sleep(5)
        counts = {name: len(await ticks(site, name)) for name in ("skip", "latest", "all", "bounded")}
        assert counts == {"skip": 0, "latest": 1, "all": 10, "bounded": 3}
        (shown,) = [one for one in await site.client.schedules.list() if one.name == "skip"]
        assert shown.last_outcome == "missed"


@in_virtual_time
async def test_ticks_overlap_pass_or_wait_for_the_last_job() -> None:
    async with open_site(report, concurrency=20) as site:
        await site.clock.sleep(10 - site.clock.wall() % 10)
        for overlap in ("allow", "skip", "wait"):
            await add(site, overlap, 10, takes=25.0, overlap=overlap, missed="all")
        site.start()
        await site.clock.sleep(62)
        # Six ticks; of one that takes 25 s three have room, and those that wait begin one after another.
        counts = {name: len(await ticks(site, name)) for name in ("allow", "skip", "wait")}
        assert counts == {"allow": 6, "skip": 2, "wait": 3}
        waited = await ticks(site, "wait")
        for before, after in pairwise(waited):
            assert before.finished_at is not None
            assert after.submitted_at >= before.finished_at


@in_virtual_time
async def test_a_paused_schedule_fires_nothing_until_it_is_resumed() -> None:
    async with open_site(report) as site:
        declaring(site, minutely)
        running = site.start()
        await site.clock.sleep(65)
        paused = await site.client.schedules.pause("minutely", reason="holidays", by="ann")
        assert paused.pause is not None
        before = len(await ticks(site, "minutely"))
        await running.drain()
        # It stays so over restarts.
        site.start("b")
        await site.clock.sleep(300)
        assert len(await ticks(site, "minutely")) == before
        triggered = await site.client.schedules.trigger("minutely")
        assert (await site.ended(triggered)).state is JobState.COMMITTED
        await site.client.schedules.resume("minutely")
        await site.clock.sleep(61)
        assert len(await ticks(site, "minutely")) == before + 2


@in_virtual_time
async def test_a_changed_declaration_is_kept_and_a_vanished_one_forgotten() -> None:
    async with open_site(report) as site:
        declaring(site, minutely)
        first = site.start("a")
        await site.clock.sleep(1)
        declaring(site, replace(minutely, job=Report(of="new")))
        second = site.start("b")
        await site.clock.sleep(1)
        kept = await site.planes.inspection.schedule("minutely")
        assert kept is not None
        assert b"new" in load_schedule(kept.definition).job.body
        await add(site, "added", 3_600)
        declaring(site)
        site.start("c")
        await first.drain()
        # As long as one worker that lives declares it, it stays.
        await site.clock.sleep(FORGOTTEN_SECONDS)
        assert await site.planes.inspection.schedule("minutely") is not None
        await second.drain()
        await site.clock.sleep(FORGOTTEN_SECONDS + 130)
        assert [one.name for one in await site.client.schedules.list()] == ["added"]


@in_virtual_time
async def test_what_is_declared_is_not_removed_and_what_was_added_is() -> None:
    async with open_site(report) as site:
        declaring(site, minutely)
        site.start()
        await site.clock.sleep(1)
        with pytest.raises(ConfigurationError, match="declared by a plugin"):
            await site.client.schedules.remove("minutely")
        await add(site, "s", 10)
        with pytest.raises(ConfigurationError, match="already"):
            await add(site, "s", 20)
        await site.client.schedules.remove("s")
        with pytest.raises(ScheduleNotFound):
            await site.client.schedules.show("s")


def test_a_schedule_whose_type_is_not_to_be_told_says_so() -> None:
    class Other(Payload):
        pass

    registry = Registry([report], schedules=[schedule("s", cron="* * * * *", job=Other())])
    with pytest.raises(ConfigurationError, match="type="):
        registry.schedules(["report"], 0.0)
    with pytest.raises(ConfigurationError, match="called"):
        Registry([report], schedules=[minutely, replace(minutely, bound=5)])
    with pytest.raises(ConfigurationError, match="no cron expression"):
        schedule("s", cron="whenever", job=Report())


@in_virtual_time
async def test_to_list_schedules_the_store_is_asked_once_for_all_their_jobs() -> None:
    async with open_site(report) as site:
        site.start()
        for number in range(30):
            await add(site, f"s{number}", 10)
        await site.clock.sleep(25)
        asked = Faults(site.clock)
        inspection = faulty_planes(site.planes, asked).inspection
        found = await ScheduleBook(inspection, site.registry).list()
        assert [status.last_outcome for status in found] == ["committed"] * 30
        assert asked.calls == {"store.schedules": 1, "store.states": 1}
