"""A worker dies at an arrow: `message -> decode -> lane -> claim -> open -> process -> commit -> release -> ack`."""

from __future__ import annotations

import pytest

from tests.faults.doubles import Faults, after, before
from tests.steps import Step, loose, step
from tests.virtual_site import RunningWorker, Site, in_virtual_time, open_site

ARROWS = [
    "broker.receive",
    "coordinator.claim",
    "store.open",
    "store.commit",
    "coordinator.release",
    "broker.ack",
]


def _crash_at(site: Site, operation: str, *, when: str, nth: int) -> RunningWorker:
    """Start a worker that is cut off at the `nth` call of `operation`, before or after its effect."""
    faults = Faults(site.clock)
    worker = site.start("dying", faults=faults)
    counted = 0

    async def cut() -> None:
        nonlocal counted
        counted += 1
        if counted == nth:
            faults.cut_off()
            worker.worker.stop()

    faults.always(operation, (before if when == "before" else after)(cut))
    return worker


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("operation", ARROWS)
@in_virtual_time
async def test_a_crash_at_any_arrow_loses_and_repeats_nothing(operation: str, when: str) -> None:
    """nothing-lost, single-effect, order."""
    async with open_site(step, loose) as site:
        ids = []
        for number in range(1, 6):
            ids.append((await site.client.submit("step", Step(number=number))).id)
            ids.append((await site.client.submit("loose", Step(number=number))).id)
        # Four leaderships are claimed first, and each key's lease serves all of its jobs; else let the crash come in
        # the middle.
        nth = {"broker.receive": 1, "coordinator.claim": 4 + 2, "coordinator.release": 1}.get(operation, 3)
        dying = _crash_at(site, operation, when=when, nth=nth)
        await dying.ended.wait()
        assert dying.faults.cut
        site.start("heir")
        for id in ids:
            assert (await site.ended(id)).state == "committed"
        assert await site.log("step", "k") == [f'{{"number":{number}}}' for number in range(1, 6)]
        assert sorted(await site.log("loose", "k")) == [f'{{"number":{number}}}' for number in range(1, 6)]
        await site.at_rest()
