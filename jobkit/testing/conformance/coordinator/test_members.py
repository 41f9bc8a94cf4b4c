"""Membership: which workers are alive."""

from __future__ import annotations

from dataclasses import replace

from jobkit.model.partition import Partition
from jobkit.ports.coordinator import Coordinator, Member
from jobkit.testing.conformance.harness import Harness

ANN = Member("ann", ("a", "b"), 0.25)
BOB = Member("bob", ())
CYD = Member("cyd", ("c",))


async def test_a_heartbeat_tells_all_live_workers_by_owner_this_one_included(
    coordinator_harness: Harness[Coordinator],
) -> None:
    ttl = coordinator_harness.ttl
    async with coordinator_harness.process() as one, coordinator_harness.process() as other:
        assert await one.heartbeat(CYD, ttl=ttl) == [CYD]
        assert await other.heartbeat(ANN, ttl=ttl) == [ANN, CYD]
        assert await one.heartbeat(BOB, ttl=ttl) == [ANN, BOB, CYD]
        assert await other.members() == [ANN, BOB, CYD]


async def test_a_worker_counts_for_its_ttl_and_no_longer(
    coordinator: Coordinator, coordinator_harness: Harness[Coordinator]
) -> None:
    ttl = coordinator_harness.ttl
    await coordinator.heartbeat(ANN, ttl=ttl)
    await coordinator_harness.elapse(ttl * 0.6)
    await coordinator.heartbeat(BOB, ttl=ttl)
    assert await coordinator.members() == [ANN, BOB]
    await coordinator_harness.elapse(ttl * 0.6)
    assert await coordinator.members() == [BOB]
    assert await coordinator.heartbeat(BOB, ttl=ttl) == [BOB]


async def test_a_heartbeat_renews_and_may_change_the_types(
    coordinator: Coordinator, coordinator_harness: Harness[Coordinator]
) -> None:
    ttl = coordinator_harness.ttl
    await coordinator.heartbeat(Member("ann", ("old",)), ttl=ttl)
    await coordinator_harness.elapse(ttl * 0.6)
    assert await coordinator.heartbeat(ANN, ttl=ttl) == [ANN]
    await coordinator_harness.elapse(ttl * 0.6)
    assert await coordinator.members() == [ANN]


async def test_a_worker_that_leaves_counts_no_more_at_once(
    coordinator: Coordinator, coordinator_harness: Harness[Coordinator]
) -> None:
    await coordinator.heartbeat(ANN, ttl=coordinator_harness.ttl)
    await coordinator.heartbeat(BOB, ttl=coordinator_harness.ttl)
    await coordinator.leave("ann")
    await coordinator.leave("nobody")
    assert await coordinator.members() == [BOB]


async def test_every_process_sees_the_same_identity(coordinator_harness: Harness[Coordinator]) -> None:
    async with coordinator_harness.process() as one, coordinator_harness.process() as other:
        identity = await one.identity()
        assert identity
        assert await other.identity() == identity
    await coordinator_harness.elapse(coordinator_harness.ttl * 2)
    async with coordinator_harness.process() as again:
        assert await again.identity() == identity


async def test_what_is_asked_of_a_worker_is_told_with_every_heartbeat_and_ends_with_the_worker(
    coordinator_harness: Harness[Coordinator],
) -> None:
    ttl, partition = coordinator_harness.ttl, Partition("a", 3)
    async with coordinator_harness.process() as one, coordinator_harness.process() as other:
        await one.heartbeat(ANN, ttl=ttl)
        await other.heartbeat(CYD, ttl=ttl)
        assert await other.assign(partition, "ann")
        assert await other.assign(Partition("a", 0), "ann")
        assert await other.dismiss("cyd")
        asked = [
            replace(ANN, assigned=(Partition("a", 0), partition)),
            replace(CYD, dismissed=True),
        ]
        assert await one.heartbeat(ANN, ttl=ttl) == asked
        assert await other.heartbeat(CYD, ttl=ttl) == asked
        assert await other.members() == asked
        # A partition is asked of one worker.
        assert await one.assign(partition, "cyd")
        assert [member.assigned for member in await one.members()] == [(Partition("a", 0),), (partition,)]
        await one.leave("ann")
        assert await one.heartbeat(ANN, ttl=ttl) == [ANN, replace(CYD, assigned=(partition,), dismissed=True)]
        assert await one.assign(Partition("a", 0), "ann")
        await coordinator_harness.elapse(ttl * 1.1)
        # Nobody looks between their end and their return.
        assert [await one.heartbeat(ANN, ttl=ttl), await one.heartbeat(CYD, ttl=ttl)] == [[ANN], [ANN, CYD]]


async def test_nothing_can_be_asked_of_a_worker_that_is_not_alive(
    coordinator: Coordinator, coordinator_harness: Harness[Coordinator]
) -> None:
    await coordinator.heartbeat(ANN, ttl=coordinator_harness.ttl)
    await coordinator.heartbeat(BOB, ttl=coordinator_harness.ttl)
    assert await coordinator.assign(Partition("a", 1), "ann")
    await coordinator.leave("bob")
    for gone in ("bob", "nobody"):
        assert not await coordinator.assign(Partition("a", 1), gone)
        assert not await coordinator.dismiss(gone)
    assert await coordinator.members() == [replace(ANN, assigned=(Partition("a", 1),))]
    await coordinator_harness.elapse(coordinator_harness.ttl * 1.1)
    assert not await coordinator.assign(Partition("a", 1), "ann")
    assert not await coordinator.dismiss("ann")
