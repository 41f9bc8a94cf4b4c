"""Rebuilding: what differs from its log is made anew under a lease, what is right is left alone, whatever runs."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import anyio

from jobkit import Context, processor
from jobkit.leases import Keeper, Lease, LeaseTerms
from jobkit.model.fence import Fence
from jobkit.ops.verify import verify
from jobkit.projections.projection import Projection, ProjectionState
from jobkit.projections.rebuild import Rebuilder, RebuildOutcome, Rebuilt
from tests.projections.test_projection import Add, Added, Sum, add, adder, drop, kept, sum_projection
from tests.virtual_site import Site, in_virtual_time, open_site

WRONG = Sum(total=-1)


@asynccontextmanager
async def keeper_of(site: Site) -> AsyncIterator[Keeper]:
    keeper = Keeper(
        site.planes.coordinator,
        owner="rebuilder",
        terms=LeaseTerms(15.0, 1.0, 0.01),
        clock=site.clock,
        rng=random.Random(1),
        telemetry=site.witness.telemetry,
    )
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(keeper.run)
        yield keeper
        tasks.cancel_scope.cancel()


async def rebuilt(site: Site, projection: Projection[Sum], **options: Any) -> list[Rebuilt]:
    write, key = options.pop("write", True), options.pop("key", None)
    async with keeper_of(site) as keeper:
        rebuilder = Rebuilder(site.planes, keeper, site.clock, **options)
        return [one async for one in rebuilder.run("add", [projection], key=key, write=write)]


async def outcomes(site: Site, projection: Projection[Sum], **options: Any) -> list[RebuildOutcome]:
    return [one.outcome for one in await rebuilt(site, projection, **options)]


async def spoil(site: Site, projection: Projection[Sum], *names: str, position: int | None = None) -> None:
    """Write a state that is not what the log adds up to."""
    key = await site.planes.inspection.key("add", "k")
    assert key is not None
    length = key.log_length if position is None else position
    dumped = projection.dump(ProjectionState(length, WRONG))
    fence = Fence(key.token + 1, "spoil", "test")
    records = dict.fromkeys(names or (projection.record,), dumped)
    assert await site.planes.store.amend("add", "k", fence, records, log_length=key.log_length) is True


@in_virtual_time
async def test_what_is_right_is_left_alone_without_a_lease() -> None:
    projection = sum_projection()
    async with open_site(adder(projection)) as site:
        site.start()
        await add(site, [1, 2], [3])
        before = await site.planes.inspection.key("add", "k")
        assert await outcomes(site, projection) == [RebuildOutcome.SAME]
        assert await outcomes(site, projection, from_start=True) == [RebuildOutcome.SAME]
        assert await site.planes.inspection.key("add", "k") == before


@in_virtual_time
async def test_what_differs_is_found_and_rebuilt_while_the_worker_runs() -> None:
    projection = sum_projection()
    async with open_site(adder(projection)) as site:
        site.start()
        await add(site, [1, 2], [3])
        await spoil(site, projection)
        (finding,) = (await verify(site.planes, site.registry.projections())).findings
        assert finding.invariant == "projection"
        assert "differs from what the log adds up to at position 3" in finding.problem
        assert await outcomes(site, projection, write=False) == [RebuildOutcome.DIFFERS]
        assert await kept(site, projection) == ProjectionState(3, WRONG)
        assert await outcomes(site, projection) == [RebuildOutcome.REBUILT]
        assert await kept(site, projection) == ProjectionState(3, Sum(total=6, count=3))
        assert await add(site, [10]) == [b"16"]
        await site.at_rest()


@in_virtual_time
async def test_dropped_and_outdated_and_ahead_are_all_rebuilt() -> None:
    projection = sum_projection()
    async with open_site(adder(projection)) as site:
        site.start()
        await add(site, [1, 2], [3])
        for position in (1, 9):
            await spoil(site, projection, position=position)
            assert len((await verify(site.planes, site.registry.projections())).findings) >= 1
            assert await outcomes(site, projection, from_start=True) == [RebuildOutcome.REBUILT]
        await drop(site, projection.record, projection.snapshot)
        assert await outcomes(site, projection) == [RebuildOutcome.REBUILT]
        assert await kept(site, projection) == ProjectionState(3, Sum(total=6, count=3))
        await site.at_rest()


@in_virtual_time
async def test_a_wrong_snapshot_is_believed_unless_told_otherwise_and_verify_tells() -> None:
    projection = sum_projection()
    async with open_site(adder(projection)) as site:
        site.start()
        await add(site, [1, 2], [3])
        await spoil(site, projection, projection.record, projection.snapshot)
        assert await outcomes(site, projection) == [RebuildOutcome.SAME]
        problems = [found.problem for found in (await verify(site.planes, site.registry.projections())).findings]
        assert len(problems) == 2
        assert await outcomes(site, projection, from_start=True) == [RebuildOutcome.REBUILT]
        await site.at_rest()


@in_virtual_time
async def test_a_rebuild_reads_from_the_snapshot_on_and_not_the_whole_log() -> None:
    projection = sum_projection(snapshot_every=10)
    async with open_site(adder(projection)) as site:
        site.start()
        await add(site, *([1] for _ in range(25)))
        await drop(site, projection.record)
        read: list[int] = []
        log = site.planes.inspection.log

        class Counting:
            async def log(self, type: str, key: str, *, after: int = 0, limit: int = 1000) -> Any:
                read.append(after)
                return await log(type, key, after=after, limit=limit)

            def __getattr__(self, name: str) -> Any:
                return getattr(site.planes.inspection, name)

        planes = replace(site.planes, inspection=Counting())
        async with keeper_of(site) as keeper:
            found = [one async for one in Rebuilder(planes, keeper, site.clock).run("add", [projection])]
        assert [one.outcome for one in found] == [RebuildOutcome.REBUILT]
        assert set(read) == {20}
        assert await kept(site, projection) == ProjectionState(25, Sum(total=25, count=25))


@in_virtual_time
async def test_a_key_on_which_a_job_runs_is_waited_for_then_told_to_be_busy() -> None:
    projection = sum_projection()
    going = anyio.Event()

    @processor("add", key=lambda job: job.on, ordered=True, projections=[projection])
    async def slow(job: Add, ctx: Context) -> int:
        ctx.append("Added", Added(amount=1))
        if job.amounts:
            going.set()
            await ctx.clock.sleep(job.amounts[0])
        return 0

    async with open_site(slow) as site:
        site.start()
        await add(site, [], [])
        await spoil(site, projection)
        submission = await site.client.submit("add", Add(on="k", amounts=(40,)))
        await going.wait()
        (busy,) = await rebuilt(site, projection, patience=5.0)
        assert busy.outcome is RebuildOutcome.BUSY
        assert "a job runs on it" in busy.problem
        (done,) = await rebuilt(site, projection, patience=60.0)
        assert (done.outcome, done.entries) == (RebuildOutcome.REBUILT, 3)
        await site.ended(submission.id)
        assert await kept(site, projection) == ProjectionState(3, Sum(total=3, count=3))
        await site.at_rest()


@in_virtual_time
async def test_whoever_was_paused_on_the_key_is_refused_after_a_rebuild_and_runs_again() -> None:
    projection = sum_projection()
    async with open_site(adder(projection)) as site:
        site.start()
        await add(site, [1])
        await spoil(site, projection)
        async with keeper_of(site) as keeper:
            key = await site.planes.inspection.key("add", "k")
            assert key is not None
            stale = Fence(key.token, "spoil", "test")
            (done,) = [one async for one in Rebuilder(site.planes, keeper, site.clock).run("add", [projection])]
            assert done.outcome is RebuildOutcome.REBUILT
            claim = await keeper.claim("add/k")
            assert isinstance(claim, Lease)
            await keeper.release(claim)
        now = await site.planes.inspection.key("add", "k")
        assert now is not None
        assert now.token > stale.token
        assert now.owner == "rebuilder"


@in_virtual_time
async def test_only_the_keys_of_the_type_and_only_the_one_asked_for() -> None:
    projection = sum_projection()
    async with open_site(adder(projection)) as site:
        site.start()
        for on in ("a", "b", "c"):
            await add(site, [1], on=on)
        assert [one.key for one in await rebuilt(site, projection)] == ["a", "b", "c"]
        assert [one.key for one in await rebuilt(site, projection, key="b")] == ["b"]
        assert await rebuilt(site, projection, key="nobody") == []
