"""What people ask of workers: one leads the partition that it was to, another drains and ends."""

from __future__ import annotations

from collections import Counter

import pytest

from jobkit.model.partition import Partition
from jobkit.ops.workforce import WorkerRefused, dismiss, hand_over
from tests.steps import Step, step
from tests.virtual_site import Site, in_virtual_time, open_site


async def _even(site: Site, *owners: str) -> bool:
    counts = Counter((await site.leaders()).values())
    return set(counts) == set(owners) and sum(counts.values()) == site.settings.partitions


@pytest.mark.parametrize("partitions", [1, 8])
@in_virtual_time
async def test_a_partition_is_handed_over_to_the_worker_that_was_asked_for_and_the_rest_stays_fair(
    partitions: int,
) -> None:
    async with open_site(step, partitions=partitions) as site:
        for owner in ("a", "b"):
            site.start(owner)
        expected = ("a", "b") if partitions > 1 else ()
        await site.until(lambda: _even(site, *expected) if expected else _any(site))
        leaders = await site.leaders()
        resource, before = min(leaders.items())
        index = int(resource.rsplit("/", 1)[1])
        other = "b" if before == "a" else "a"
        job = await site.client.submit("step", Step(seconds=30))
        await site.until(lambda: site.faults.calls["store.open"] == 1)
        await hand_over(site.planes.coordinator, Partition("step", index), other, partitions=partitions)

        async def handed_over() -> bool:
            counts = Counter((await site.leaders()).values())
            is_fair = max(counts.values()) - (min(counts.values()) if len(counts) > 1 else 0) <= 1
            return (await site.leaders()).get(resource) == other and sum(counts.values()) == partitions and is_fair

        assert await site.until(handed_over) < 15
        elections = site.witness.count("jobkit.elections")
        await site.clock.sleep(300)
        # It stays there, and nothing flaps.
        assert await handed_over()
        assert site.witness.count("jobkit.elections") == elections
        assert site.witness.count("jobkit.leases.lost") == 0
        record = await site.ended(job.id)
        assert (record.state, record.opens) == ("committed", 1)


async def _any(site: Site) -> bool:
    return bool(await site.leaders())


@in_virtual_time
async def test_a_worker_that_is_asked_for_everything_leads_it_and_gives_it_up_with_its_life() -> None:
    async with open_site(step, partitions=4) as site:
        for owner in ("a", "b"):
            site.start(owner)
        await site.until(lambda: _even(site, "a", "b"))
        for index in range(4):
            await hand_over(site.planes.coordinator, Partition("step", index), "b", partitions=4)
        assert await site.until(lambda: _even(site, "b")) < 15
        elections = site.witness.count("jobkit.elections")
        await site.clock.sleep(60)
        assert site.witness.count("jobkit.elections") == elections
        await dismiss(site.planes.coordinator, "b")
        assert await site.until(lambda: _even(site, "a")) < 15


@in_virtual_time
async def test_a_worker_that_is_dismissed_finishes_what_it_runs_and_ends() -> None:
    async with open_site(step, partitions=4, drain_seconds=120) as site:
        leaver = site.start("a")
        await site.until(lambda: _even(site, "a"))
        job = await site.client.submit("step", Step(seconds=60))
        await site.until(lambda: site.faults.calls["store.open"] == 1)
        site.start("b")
        await site.until(lambda: _even(site, "a", "b"))
        await dismiss(site.planes.coordinator, "a")
        assert await site.until(lambda: _even(site, "b")) < 15
        record = await site.ended(job.id)
        assert (record.state, record.owner, record.opens) == ("committed", "a", 1)
        await leaver.ended.wait()


@in_virtual_time
async def test_what_cannot_be_asked_is_refused() -> None:
    async with open_site(step, partitions=2) as site:
        site.start("a")
        await site.until(lambda: _even(site, "a"))
        coordinator = site.planes.coordinator
        for partition, owner in ((Partition("step", 2), "a"), (Partition("step", 0), "b"), (Partition("x", 0), "a")):
            with pytest.raises(WorkerRefused):
                await hand_over(coordinator, partition, owner, partitions=2)
        with pytest.raises(WorkerRefused, match="no worker 'b' is alive"):
            await dismiss(coordinator, "b")
