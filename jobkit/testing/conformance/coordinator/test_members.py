"""Membership: which workers are alive."""

from __future__ import annotations

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
