"""A whole worker in virtual time: of what is paused nothing begins or is lost, and it goes on in order."""

from __future__ import annotations

from datetime import timedelta

import anyio
import pytest

from jobkit import Context, Payload, Retry, RetryPolicy, processor
from jobkit.model.partition import partition_of
from tests.faults.doubles import Faults, lost_request
from tests.steps import Step, loose, step
from tests.virtual_site import AnyProcessor, Site, in_virtual_time, open_site

# Heard of within half a second, and what has begun by then may still be on its way to its processor.
HEARD_WITHIN = 1.0
PREFETCH = 20


async def _submit(site: Site, type: str, key: str, count: int, seconds: float = 0.0, first: int = 1) -> list[str]:
    steps = [Step(on=key, number=number, seconds=seconds) for number in range(first, first + count)]
    return [job.id for job in await site.client.submit_many([site.client.job(type, one) for one in steps])]


async def _in_order(site: Site, type: str, key: str, count: int) -> None:
    assert await site.log(type, key) == [f'{{"number":{number}}}' for number in range(1, count + 1)]


async def _states(site: Site, ids: list[str]) -> set[str]:
    return {(await site.client.status(id)).state.value for id in ids}


async def _have_begun(site: Site, ids: list[str]) -> bool:
    return await _states(site, ids) <= {"running", "committed"}


@pytest.mark.parametrize("type", ["loose", "step"])
@pytest.mark.parametrize("scope", [{}, {"partition": 0}, {"key": "k"}])
@in_virtual_time
async def test_what_is_paused_begins_nothing_and_goes_on_in_order(type: str, scope: dict[str, object]) -> None:
    async with open_site(step, loose, partitions=1, prefetch=PREFETCH) as site:
        site.start()
        ids = await _submit(site, type, "k", 3 * PREFETCH, seconds=3.0)
        await site.until(lambda: _have_begun(site, ids[:2]))
        await site.client.pause(type, **scope, reason="the disk is full", by="ann")  # type: ignore[arg-type]
        await site.clock.sleep(HEARD_WITHIN + 3.0)
        done = len(await site.log(type, "k"))
        assert 1 <= done <= 3
        later = await _submit(site, type, "k", 5, first=3 * PREFETCH + 1)
        await site.clock.sleep(200)
        assert len(await site.log(type, "k")) == done
        assert await _states(site, [*ids[done:], *later]) == {"queued"}
        assert all(site.workers[0].worker.ready().values())
        await site.client.resume(type, **scope)  # type: ignore[arg-type]
        assert (await site.ended(later[-1], 400)).state == "committed"
        await _in_order(site, type, "k", 3 * PREFETCH + 5)
        await site.at_rest()


@pytest.mark.parametrize("scope", [{}, {"key": "k"}])
@in_virtual_time
async def test_what_runs_goes_on(scope: dict[str, str]) -> None:
    async with open_site(step, partitions=1) as site:
        site.start()
        running, waiting = await _submit(site, "step", "k", 2, seconds=60)
        await site.until(lambda: _have_begun(site, [running]))
        await site.client.pause("step", **scope)
        assert (await site.ended(running)).state == "committed"
        assert (await site.client.status(running)).opens == 1
        await site.clock.sleep(100)
        assert await _states(site, [waiting]) == {"queued"}
        await site.client.resume("step", **scope)
        assert (await site.ended(waiting)).state == "committed"
        await site.at_rest()


@in_virtual_time
async def test_a_paused_key_fills_no_prefetch_and_stops_no_other_key() -> None:
    async with open_site(loose, partitions=1, prefetch=PREFETCH) as site:
        site.start()
        await site.client.pause("loose", key="bad")
        await site.clock.sleep(HEARD_WITHIN)
        bad = await _submit(site, "loose", "bad", 5 * PREFETCH)
        (good,) = await _submit(site, "loose", "good", 1)
        started = site.clock.now()
        assert (await site.ended(good)).state == "committed"
        assert site.clock.now() - started < 1
        assert await _states(site, bad) == {"queued"}
        await site.client.resume("loose", key="bad")
        assert (await site.ended(bad[-1])).state == "committed"
        assert site.clock.now() - started < 5
        await _in_order(site, "loose", "bad", 5 * PREFETCH)
        await site.at_rest()


@in_virtual_time
async def test_other_types_and_partitions_go_on() -> None:
    async with open_site(step, loose, partitions=2) as site:
        site.start()
        await site.client.pause("step", partition=0)
        await site.client.pause("loose", partition=1)
        await site.clock.sleep(HEARD_WITHIN)
        keys = [next(key for key in map(str, range(99)) if partition_of(key, 2) == index) for index in (0, 1)]
        ids = {(type, key): (await _submit(site, type, key, 1))[0] for type in ("step", "loose") for key in keys}
        await site.clock.sleep(30)
        states = {name: (await site.client.status(id)).state.value for name, id in ids.items()}
        assert [states["step", key] for key in keys] == ["queued", "committed"]
        assert [states["loose", key] for key in keys] == ["committed", "queued"]
        await site.client.resume("step", partition=0)
        await site.client.resume("loose", partition=1)
        await site.at_rest()


class Failing(Payload):
    key: str = "k"


def _failing(begun: list[float]) -> AnyProcessor:
    policy = RetryPolicy(max_attempts=50, initial=timedelta(seconds=2), maximum=timedelta(seconds=2), jitter=0)

    @processor("failing", key=lambda job: job.key, ordered=True, retry=policy)
    async def failing(job: Failing, ctx: Context) -> None:
        begun.append(ctx.clock.now())
        await ctx.clock.sleep(3)
        if len(begun) < 6:
            raise Retry("not yet")

    return failing


@pytest.mark.parametrize("scope", [{}, {"key": "k"}])
@in_virtual_time
async def test_an_attempt_that_fails_is_followed_by_no_other(scope: dict[str, str]) -> None:
    """An ordered job waits for its next attempt in its place, which is what a pause has to end."""
    begun: list[float] = []
    async with open_site(_failing(begun), partitions=1) as site:
        site.start()
        submission = await site.client.submit("failing", Failing())
        await site.until(lambda: len(begun) == 2)
        await site.client.pause("failing", **scope)
        await site.clock.sleep(100)
        assert len(begun) == 2
        await site.client.resume("failing", **scope)
        record = await site.ended(submission.id)
        assert (record.state, len(record.failures)) == ("committed", 5)
        await site.at_rest()


@in_virtual_time
async def test_it_outlives_workers_leaders_and_a_store_that_is_away() -> None:
    async with open_site(loose, partitions=1) as site:
        first = site.start("a", faults=Faults(site.clock))
        await site.client.pause("loose")
        await site.clock.sleep(HEARD_WITHIN)
        ids = await _submit(site, "loose", "k", 3)
        await site.clock.sleep(5)
        first.faults.always("store.pauses", lost_request)
        await site.clock.sleep(30)
        assert await _states(site, ids) == {"queued"}
        await first.crash()
        second = site.start("b", faults=Faults(site.clock))
        await site.clock.sleep(60)
        assert await _states(site, ids) == {"queued"}
        await second.drain()
        site.start("c")
        await site.clock.sleep(60)
        assert await _states(site, ids) == {"queued"}
        await site.client.resume("loose")
        assert (await site.ended(ids[-1])).state == "committed"
        await site.at_rest()


@in_virtual_time
async def test_jobs_in_hand_of_a_paused_key_are_moved_once_the_store_takes_them() -> None:
    async with open_site(loose, partitions=1, prefetch=PREFETCH) as site:
        site.start()
        ids = await _submit(site, "loose", "k", PREFETCH, seconds=5)
        await site.until(lambda: _have_begun(site, ids[:1]))
        site.faults.once("store.shelve", *[lost_request] * 4)
        await site.client.pause("loose", key="k")
        await site.clock.sleep(20)
        assert len(await site.log("loose", "k")) == 1
        assert await site.shelved() == PREFETCH - 1
        assert await site.queued() == 0
        await site.client.resume("loose", key="k")
        assert (await site.ended(ids[-1], 200)).state == "committed"
        await _in_order(site, "loose", "k", PREFETCH)
        await site.at_rest()


@in_virtual_time
async def test_what_comes_once_it_is_resumed_goes_behind_what_is_still_being_moved() -> None:
    async with open_site(loose, partitions=1, prefetch=PREFETCH) as site:
        site.start()
        ids = await _submit(site, "loose", "k", PREFETCH // 2, seconds=1)
        await site.until(lambda: _have_begun(site, ids[:1]))
        site.faults.once("store.shelve", *[lost_request] * 5)
        await site.client.pause("loose", key="k")
        await site.until(lambda: site.faults.calls["store.shelve"] > 0)
        await site.client.resume("loose", key="k")
        await site.until(lambda: bool(site.witness.lines("resumed")))
        later = await _submit(site, "loose", "k", PREFETCH // 2, first=PREFETCH // 2 + 1)
        assert (await site.ended(later[-1], 200)).state == "committed"
        await _in_order(site, "loose", "k", PREFETCH)
        await site.at_rest()


@in_virtual_time
async def test_pausing_and_resuming_again_and_again_loses_nothing_and_keeps_the_order() -> None:
    async with open_site(step, loose, partitions=2, prefetch=PREFETCH) as site:
        site.start("a")
        site.start("b")
        ids = [
            id
            for type in ("step", "loose")
            for key in ("k", "l")
            for id in await _submit(site, type, key, 40, seconds=0.7)
        ]
        scopes: list[dict[str, object]] = [{}, {"partition": 1}, {"key": "k"}]
        for round in range(12):
            scope = scopes[round % 3]
            for type in ("step", "loose"):
                await site.client.pause(type, **scope)  # type: ignore[arg-type]
            await site.clock.sleep(0.3 + 0.37 * round)
            for type in ("step", "loose"):
                await site.client.resume(type, **scope)  # type: ignore[arg-type]
            await site.clock.sleep(0.6)
        for id in ids:
            assert (await site.ended(id, 400)).state == "committed"
        for type in ("step", "loose"):
            for key in ("k", "l"):
                await _in_order(site, type, key, 40)
        await site.at_rest()


@in_virtual_time
async def test_a_worker_drains_while_it_is_paused_and_the_gauges_tell_of_it() -> None:
    async with open_site(step, partitions=2) as site:
        worker = site.start()
        await site.client.pause("step", reason="why", by="ann")
        await site.clock.sleep(100)
        site.witness.points("jobkit.pauses")
        await site.clock.sleep(5)
        shown = {
            name: next(point.value for point in site.witness.points(name))
            for name in ("jobkit.pauses", "jobkit.pause.age", "jobkit.partitions.paused", "jobkit.consumers.open")
        }
        assert shown.pop("jobkit.pause.age") > 100
        assert shown == {"jobkit.pauses": 1, "jobkit.partitions.paused": 2, "jobkit.consumers.open": 0}
        (said,) = site.witness.lines("paused")
        assert (said["scope"], said["by"], said["reason"]) == ("step", "ann", "why")
        with anyio.fail_after(10):
            await worker.drain()
