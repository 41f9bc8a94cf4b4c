"""How far a worker is: measured so that a busy moment is not taken for a long way, nor a lucky one for a short way."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio

from jobkit.worker.latency import NEAR_SECONDS, LatencyMonitor
from tests.faults.doubles import Fault, Faults, faulty_planes, hanging, lost_request, slow_reply
from tests.steps import step
from tests.virtual_site import Site, in_virtual_time, open_site


@asynccontextmanager
async def reaching(site: Site, faults: Faults) -> AsyncIterator[tuple[LatencyMonitor, list[float]]]:
    """Measure during the block; yield what measures, and what it told."""
    planes = faulty_planes(site.planes, faults)
    told: list[float] = []

    async def tell() -> None:
        told.append(reach.latency)

    reach = LatencyMonitor(planes.store.pauses, planes.coordinator, "me", clock=site.clock, on_change=tell)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(reach.run)
        yield reach, told
        tasks.cancel_scope.cancel()


@in_virtual_time
async def test_who_is_near_is_near_from_the_start_and_tells_nothing() -> None:
    async with open_site(step) as site, reaching(site, Faults(site.clock)) as (reach, told):
        await site.clock.sleep(60)
        assert reach.latency == NEAR_SECONDS
        assert told == []


@in_virtual_time
async def test_one_slow_answer_is_a_busy_moment() -> None:
    async with open_site(step) as site:
        faults = Faults(site.clock)
        async with reaching(site, faults) as (_, told):
            for _ in range(5):
                faults.once("store.pauses", slow_reply(0.8))
                await site.clock.sleep(10)
            assert told == []


@in_virtual_time
async def test_a_connection_made_anew_is_no_long_way_however_long_it_takes() -> None:
    async with open_site(step) as site:
        faults = Faults(site.clock)
        async with reaching(site, faults) as (_, told):
            for _ in range(5):
                faults.once("coordinator.release", lost_request)
                await site.clock.sleep(0.6)
                faults.once("coordinator.release", slow_reply(3.9))
                await site.clock.sleep(10)
            assert told == []


async def _told_after(fault: Fault, operation: str, seconds: float) -> list[float]:
    async with open_site(step) as site:
        faults = Faults(site.clock)
        faults.always(operation, fault)
        async with reaching(site, faults) as (_, told):
            await site.clock.sleep(seconds)
            return told


@in_virtual_time
async def test_a_long_way_to_either_is_told_within_a_few_seconds() -> None:
    assert await _told_after(slow_reply(0.5), "store.pauses", 4.5) == [0.5]
    assert await _told_after(slow_reply(0.5), "coordinator.release", 4.5) == [0.5]


@in_virtual_time
async def test_who_has_no_answer_or_is_refused_at_once_is_far_too() -> None:
    silent = await _told_after(hanging, "store.pauses", 8.5)
    assert silent
    assert silent == sorted(silent)
    assert await _told_after(lost_request, "coordinator.release", 4.5) == [1.0]


@in_virtual_time
async def test_it_is_believed_late_that_the_way_is_short_again() -> None:
    async with open_site(step) as site:
        faults = Faults(site.clock)
        async with reaching(site, faults) as (reach, told):
            faults.always("store.pauses", slow_reply(0.5))
            await site.clock.sleep(5)
            faults.heal()
            await site.clock.sleep(10)
            assert told == [0.5]
            await site.clock.sleep(10)
            assert told == [0.5, NEAR_SECONDS]
            assert reach.latency == NEAR_SECONDS
