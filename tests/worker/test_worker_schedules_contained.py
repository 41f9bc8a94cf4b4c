"""One schedule that is bad stops no other, and not the worker: unreadable rows, defects, and ids that are taken."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import anyio
import pytest

from jobkit import Context, Payload, processor, schedule
from jobkit.errors import JobConflict, PayloadInvalid, ScheduleUnreadable
from jobkit.model.ticks import tick_id
from jobkit.plugin.registry import Registry
from jobkit.ports.inspection import JobRecord, JobState
from jobkit.ports.schedules import KeptSchedule
from jobkit.worker.maintenance.declared_schedules import FORGOTTEN_SECONDS
from tests.virtual_site import Site, in_virtual_time, open_site

UNREADABLE = "schedule cannot be read, it does not fire here"


class Report(Payload):
    of: str = "all"
    seconds: float = 0.0


@processor("report", key=lambda job: job.of)
async def report(job: Report, ctx: Context) -> None:
    await anyio.sleep(job.seconds)


minutely = schedule("minutely", every=timedelta(minutes=1), job=Report())


async def keep_unreadable(site: Site, name: str, due: float | None = 1.0) -> None:
    """Keep a schedule as a jobkit to come may write it."""
    newer = KeptSchedule(name, "report", b'{"version": 9, "rule": "RRULE:FREQ=DAILY"}', 0, due)
    assert await site.planes.inspection.save_schedule(newer) == []


async def add(site: Site, name: str, seconds: float, **more: Any) -> None:
    await site.client.schedules.add(name, "report", Report(of=name), every=timedelta(seconds=seconds), **more)


async def ticks(site: Site, name: str) -> Sequence[JobRecord]:
    return [job for job in await site.planes.inspection.jobs(limit=10_000) if job.id.startswith(f"{name}@")]


async def kept(site: Site, name: str) -> KeptSchedule:
    found = await site.planes.inspection.schedule(name)
    assert found is not None
    return found


@in_virtual_time
async def test_unreadable_schedules_hide_no_other_and_are_told_of_rarely() -> None:
    async with open_site(report) as site:
        for number in range(250):
            await keep_unreadable(site, f"newer{number}")
        await add(site, "s", 10)
        site.start()
        await site.clock.sleep(205)
        fired = await ticks(site, "s")
        assert len(fired) in (20, 21)
        assert all(job.submitted_at % 10 < 0.6 for job in fired)
        assert 0 < len(site.witness.lines(UNREADABLE)) <= 20
        assert site.witness.count("jobkit.defects") == 0
        # What it says stays as it is, for those who can read it.
        assert (await kept(site, "newer7")).definition.startswith(b'{"version": 9')


@in_virtual_time
async def test_an_unreadable_schedule_is_left_for_a_while_to_who_can_read_it() -> None:
    async with open_site(report) as site:
        due = await site.planes.inspection.wall_time() + 1
        await keep_unreadable(site, "newer", due)
        site.start()
        await site.clock.sleep(4)
        assert (await kept(site, "newer")).due == due
        await site.clock.sleep(4)
        put_off = (await kept(site, "newer")).due
        assert put_off is not None
        # Less than the grace in which a tick is not missed.
        assert due + 5 < put_off < due + 60


@in_virtual_time
async def test_a_worker_lives_with_an_unreadable_schedule_of_a_name_that_it_declares() -> None:
    async with open_site(report) as site:
        site.registry = Registry(site.registry.processors.values(), schedules=[minutely])
        await keep_unreadable(site, "minutely")
        await keep_unreadable(site, "forgotten", None)
        running = site.start()
        await site.clock.sleep(FORGOTTEN_SECONDS + 130)
        assert not running.ended.is_set()
        assert len(await site.client.schedules.list()) == 2
        await site.client.schedules.remove("minutely")
        await site.clock.sleep(125)
        (status,) = [one for one in await site.client.schedules.list() if one.name == "minutely"]
        assert status.schedule is not None
        assert await ticks(site, "minutely")


@in_virtual_time
async def test_an_unreadable_schedule_is_shown_and_can_only_be_removed() -> None:
    async with open_site(report) as site:
        await keep_unreadable(site, "a")
        await add(site, "b", 10)
        unread, read = await site.client.schedules.list()
        assert (unread.name, unread.type, unread.schedule, unread.last_outcome) == ("a", "report", None, "")
        assert unread.unreadable is not None
        assert (read.name, read.unreadable) == ("b", None)
        assert await site.client.schedules.show("a") == unread
        for doing in (site.client.schedules.pause, site.client.schedules.resume, site.client.schedules.trigger):
            with pytest.raises(ScheduleUnreadable, match="remove it"):
                await doing("a")
        await site.client.schedules.remove("a")
        assert [one.name for one in await site.client.schedules.list()] == ["b"]


@in_virtual_time
async def test_a_defect_met_by_one_schedule_stops_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    from jobkit.worker.maintenance import tick_firing

    decide = tick_firing.decide

    def broken(schedule: Any, now: float, *, busy: bool) -> Any:
        if schedule.name == "bad":
            raise ZeroDivisionError
        return decide(schedule, now, busy=busy)

    monkeypatch.setattr(tick_firing, "decide", broken)
    async with open_site(report) as site:
        await add(site, "bad", 5)
        await add(site, "good", 10)
        running = site.start()
        await site.clock.sleep(65)
        assert not running.ended.is_set()
        assert len(await ticks(site, "good")) in (6, 7)
        running.worker.stop()
        await running.ended.wait()
        site.expected_defects = site.witness.lines("unexpected error")
        assert 1 <= len(site.expected_defects) <= 3


@in_virtual_time
async def test_a_tick_whose_id_is_another_jobs_does_not_fire_and_says_so() -> None:
    async with open_site(report) as site:
        await add(site, "s", 10)
        now = await site.planes.inspection.wall_time()
        taken = tick_id("s", (now // 10 + 1) * 10)
        await site.client.submit("report", Report(of="else"), id=taken)
        site.start()
        await site.clock.sleep(25)
        (line,) = site.witness.lines("tick does not fire, its id is another job's")
        assert (line["schedule"], line["job"]) == ("s", taken)
        assert site.witness.count("jobkit.conflicts") == 1
        assert site.witness.lines("job id conflict, dead-lettered") == []
        others = [job for job in await ticks(site, "s") if job.key == "s"]
        assert others
        assert site.witness.count("jobkit.schedules.ticks", {"outcome": "fired"}) == len(others)


@in_virtual_time
async def test_a_trigger_with_an_id_is_one_however_often_it_is_asked_for() -> None:
    async with open_site(report) as site:
        await add(site, "s", 3_600)
        assert await site.client.schedules.trigger("s", id="by-hand") == "by-hand"
        later = await site.client.schedules.trigger("s")
        site.start()
        assert (await site.ended("by-hand")).state is JobState.COMMITTED
        assert await site.client.schedules.trigger("s", id="by-hand") == "by-hand"
        assert len(await site.planes.inspection.jobs()) == 2
        status = await site.client.schedules.show("s")
        assert status.schedule is not None
        # The overlap of the next tick is judged by the latest, not by the one that was asked for again.
        assert status.schedule.last_job == later
        await site.client.submit("report", Report(of="else"), id="taken")
        with pytest.raises(JobConflict):
            await site.client.schedules.trigger("s", id="taken")
        with pytest.raises(PayloadInvalid):
            await site.client.schedules.trigger("s", id="")
