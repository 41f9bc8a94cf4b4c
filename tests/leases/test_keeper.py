"""Leases and their keeper in virtual time, against the embedded coordinator and a network that can be made bad."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest

from jobkit.errors import LeaseLost, Unavailable
from jobkit.leases import Keeper, Lease, LeaseTerms
from jobkit.ports.coordinator import Coordinator, Held, LeaseRef
from jobkit.testing.virtual_time import VirtualClock
from tests.faults.doubles import (
    Fault,
    Faults,
    faulty_planes,
    hanging,
    lost_reply,
    lost_request,
    slow_reply,
    slow_request,
)
from tests.virtual_site import in_virtual_time, memory_in_virtual_time
from tests.witness import Witness

TERMS = LeaseTerms(ttl=15, guard=1, drift=0.01)


class Desk:
    """One keeper, its clock, and what it sees of the coordinator."""

    def __init__(
        self, keeper: Keeper, clock: VirtualClock, faults: Faults, witness: Witness, others: Coordinator
    ) -> None:
        self.keeper = keeper
        self.clock = clock
        self.faults = faults
        self.witness = witness
        self.others = others

    async def claim(self, resource: str = "t/k") -> Lease:
        lease = await self.keeper.claim(resource)
        assert isinstance(lease, Lease)
        return lease


@asynccontextmanager
async def _desk(*, running: bool = True, rate: float = 1.0) -> AsyncIterator[Desk]:
    """Open a keeper against an embedded coordinator; the holder's clock runs at `rate`."""
    async with memory_in_virtual_time(VirtualClock()) as planes, anyio.create_task_group() as tasks:
        clock = VirtualClock(rate=rate, offset=12_345.0)
        faults, witness = Faults(clock), Witness()
        coordinator = faulty_planes(planes, faults).coordinator
        keeper = Keeper(
            coordinator,
            owner="me",
            terms=TERMS,
            clock=clock,
            rng=random.Random(1),
            telemetry=witness.telemetry,
        )
        if running:
            tasks.start_soon(keeper.run)
        yield Desk(keeper, clock, faults, witness, planes.coordinator)
        tasks.cancel_scope.cancel()


# ---- claiming ------------------------------------------------------------------------------------------------------


@in_virtual_time
async def test_the_deadline_counts_from_before_the_request_was_sent() -> None:
    async with _desk(running=False) as desk:
        desk.faults.once("coordinator.claim", slow_reply(4))
        asked_at = desk.clock.now()
        lease = await desk.claim()
        assert desk.clock.now() == asked_at + 4
        assert lease.deadline == asked_at + 15 * 0.99 - 1
        await desk.clock.sleep(lease.deadline - desk.clock.now() - 0.01)
        lease.check()
        await desk.clock.sleep(0.02)
        with pytest.raises(LeaseLost, match="past its deadline"):
            lease.check()


@in_virtual_time
async def test_a_grant_that_comes_after_its_deadline_is_not_held_and_is_given_back() -> None:
    """no-lease-no-work."""
    async with _desk() as desk:
        desk.faults.once("coordinator.claim", slow_reply(14))
        with pytest.raises(Unavailable, match="too late"):
            await desk.keeper.claim("t/k")
        assert desk.faults.calls["coordinator.release"] == 1
        assert isinstance(await desk.keeper.claim("t/k"), Lease)
        assert desk.witness.count("jobkit.claims", {"outcome": "late"}) == 1


@in_virtual_time
async def test_a_claim_whose_answer_was_lost_is_asked_again_under_the_same_nonce() -> None:
    async with _desk(running=False) as desk:
        desk.faults.once("coordinator.claim", lost_reply, lost_request)
        asked_at = desk.clock.now()
        lease = await desk.claim()
        assert desk.faults.calls["coordinator.claim"] == 3
        assert lease.ref.token == 1
        assert lease.deadline == asked_at + TERMS.trusted
        assert desk.witness.count("jobkit.connections.lost", {"plane": "coordinator"}) == 2


@in_virtual_time
async def test_a_claim_that_is_never_answered_ends_while_it_could_still_be_trusted() -> None:
    """no-lease-no-work: a wait that times out is an error, never a way to run without the lease."""
    async with _desk(running=False) as desk:
        desk.faults.always("coordinator.claim", lost_request)
        asked_at = desk.clock.now()
        with pytest.raises(Unavailable):
            await desk.keeper.claim("t/k")
        assert desk.clock.now() - asked_at < TERMS.trusted


@pytest.mark.parametrize("fault", [slow_reply(0.5), slow_request(0.5)], ids=["reply", "request"])
@in_virtual_time
async def test_what_a_cancelled_claim_was_granted_is_free_at_once(fault: Fault) -> None:
    async with _desk() as desk:
        desk.faults.always("coordinator.claim", fault)
        began = desk.clock.now()
        with anyio.move_on_after(0.25):
            await desk.claim()
        assert await desk.others.leases("t/k") == []
        assert desk.clock.now() < began + 2


@in_virtual_time
async def test_a_cancelled_claim_leaves_what_somebody_holds_alone() -> None:
    async with _desk() as desk:
        await desk.others.claim("t/k", owner="other", nonce="n", ttl=15)
        desk.faults.always("coordinator.claim", slow_reply(0.5))
        with anyio.move_on_after(0.25):
            await desk.keeper.claim("t/k")
        assert [lease.owner for lease in await desk.others.leases("t/k")] == ["other"]


@in_virtual_time
async def test_a_claim_of_what_somebody_holds_says_who() -> None:
    async with _desk() as desk:
        await desk.others.claim("t/k", owner="somebody", nonce="n", ttl=20)
        answer = await desk.keeper.claim("t/k")
        assert isinstance(answer, Held)
        assert (answer.owner, answer.remaining) == ("somebody", 20)
        assert desk.witness.count("jobkit.claims", {"outcome": "held"}) == 1


@in_virtual_time
async def test_a_floor_is_passed_on() -> None:
    async with _desk() as desk:
        lease = await desk.keeper.claim("t/k", floor=41)
        assert isinstance(lease, Lease)
        assert (lease.fence.token, lease.fence.nonce, lease.fence.owner) == (42, lease.ref.nonce, "me")


# ---- renewing ------------------------------------------------------------------------------------------------------


@in_virtual_time
async def test_held_leases_are_renewed_in_one_call_for_as_long_as_they_are_held() -> None:
    async with _desk() as desk:
        leases = [await desk.claim(f"t/{number}") for number in range(20)]
        await desk.clock.sleep(300)
        assert all(lease.live for lease in leases)
        assert 300 / 5 - 2 <= desk.faults.calls["coordinator.renew"] <= 300 / 4 + 2
        assert desk.witness.count("jobkit.leases.lost") == 0


@in_virtual_time
async def test_nothing_is_asked_while_nothing_is_held() -> None:
    async with _desk() as desk:
        await desk.clock.sleep(300)
        assert desk.faults.calls == {}


@in_virtual_time
async def test_a_renewal_moves_the_deadline_from_before_it_was_sent() -> None:
    async with _desk() as desk:
        lease = await desk.claim()
        desk.faults.once("coordinator.renew", slow_reply(3))
        await desk.faults.reached("coordinator.renew")
        sent_at = desk.clock.now()
        await desk.clock.sleep(3.1)
        assert lease.deadline == pytest.approx(sent_at + TERMS.trusted)


@pytest.mark.parametrize("fault", [lost_request, lost_reply], ids=["request lost", "reply lost"])
@in_virtual_time
async def test_a_lost_renewal_moves_nothing_and_is_no_loss(fault: Fault) -> None:
    async with _desk() as desk:
        lease = await desk.claim()
        deadline = lease.deadline
        desk.faults.once("coordinator.renew", fault)
        await desk.faults.reached("coordinator.renew")
        await desk.clock.sleep(0.01)
        assert lease.deadline == deadline
        assert desk.witness.count("jobkit.renewals.failed") == 1
        assert desk.witness.lines("renewal failed")[0]["leases"] == 1
        await desk.clock.sleep(60)
        assert lease.live


@in_virtual_time
async def test_leases_that_cannot_be_renewed_end_at_their_deadline_and_not_later_than_at_the_coordinator() -> None:
    """no-lease-no-work."""
    async with _desk() as desk:
        claimed_at = desk.clock.now()
        lease = await desk.claim()
        desk.faults.always("coordinator.renew", lost_request)
        with pytest.raises(LeaseLost, match="could not be renewed"), lease.guarding():
            await anyio.sleep_forever()
        assert lease.deadline <= desk.clock.now() <= lease.deadline + TERMS.guard / 2
        assert desk.clock.now() < claimed_at + TERMS.ttl
        assert desk.witness.count("jobkit.leases.lost", {"kind": "job"}) == 1
        assert desk.witness.lines("lease lost")[0]["resource"] == "t/k"


@in_virtual_time
async def test_a_renewal_that_hangs_ends_the_leases_in_time_too() -> None:
    """no-lease-no-work."""
    async with _desk() as desk:
        claimed_at = desk.clock.now()
        lease = await desk.claim()
        desk.faults.always("coordinator.renew", hanging)
        with pytest.raises(LeaseLost), lease.guarding():
            await anyio.sleep_forever()
        assert desk.clock.now() < claimed_at + TERMS.ttl


@in_virtual_time
async def test_a_renewal_that_is_answered_after_the_deadline_brings_no_lease_back() -> None:
    async with _desk() as desk:
        lease = await desk.claim()
        desk.faults.once("coordinator.renew", slow_reply(6), hanging, hanging)
        await desk.faults.reached("coordinator.renew", 2)
        lease.deadline = desk.clock.now() + 1
        with pytest.raises(LeaseLost), lease.guarding():
            await anyio.sleep_forever()
        await desk.clock.sleep(60)
        assert not lease.live


@in_virtual_time
async def test_a_lease_whose_grant_was_slow_ends_in_time_though_others_end_later() -> None:
    """no-lease-no-work: the keeper must not sleep past a deadline that it learns of only later."""
    async with _desk() as desk:
        await desk.claim("t/other")
        await desk.clock.sleep(6)
        desk.faults.once("coordinator.claim", slow_reply(9))
        asked_at = desk.clock.now()
        # While the grant is under way a renewal moves the other lease's deadline beyond that of the grant.
        lease = await desk.claim("t/slow")
        desk.faults.always("coordinator.renew", lost_request)
        with pytest.raises(LeaseLost), lease.guarding():
            await anyio.sleep_forever()
        assert desk.clock.now() < asked_at + TERMS.ttl


@in_virtual_time
async def test_a_renewal_that_drops_one_lease_cancels_its_work_and_no_other() -> None:
    async with _desk() as desk:
        lost, kept = await desk.claim("t/lost"), await desk.claim("t/kept")
        ended: list[str] = []

        async def work(lease: Lease) -> None:
            try:
                with lease.guarding():
                    await anyio.sleep_forever()
            except LeaseLost:
                ended.append(lease.ref.resource)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(work, lost)
            tasks.start_soon(work, kept)
            await desk.others.release(lost.ref)
            await desk.clock.sleep(60)
            assert ended == ["t/lost"]
            assert kept.live
            tasks.cancel_scope.cancel()
        assert "no longer held" in desk.witness.lines("lease lost")[0]["reason"]


@in_virtual_time
async def test_a_lease_that_was_released_during_a_renewal_is_not_lost() -> None:
    async with _desk() as desk:
        lease = await desk.claim()
        desk.faults.once("coordinator.renew", slow_request(1))
        await desk.faults.reached("coordinator.renew")
        await desk.keeper.release(lease)
        await desk.clock.sleep(5)
        assert desk.witness.count("jobkit.leases.lost") == 0


@in_virtual_time
async def test_a_holder_whose_clock_runs_slow_within_the_drift_still_stops_first() -> None:
    """no-lease-no-work: the coordinator's clock is 1 % faster than the holder's."""
    async with _desk(rate=0.99) as desk:
        lease = await desk.claim()
        desk.faults.always("coordinator.renew", lost_request)
        with pytest.raises(LeaseLost), lease.guarding():
            await anyio.sleep_forever()
        assert isinstance(
            await desk.others.claim("t/k", owner="other", nonce="n", ttl=1),
            Held,
        )


@in_virtual_time
async def test_health_follows_the_last_answer() -> None:
    async with _desk() as desk:
        seen = [desk.keeper.healthy]
        await desk.claim()
        desk.faults.always("coordinator.renew", lost_request)
        await desk.clock.sleep(TERMS.trusted + 1)
        seen.append(desk.keeper.healthy)
        desk.keeper.heard()
        seen.append(desk.keeper.healthy)
        assert seen == [True, False, True]


# ---- releasing -----------------------------------------------------------------------------------------------------


@in_virtual_time
async def test_a_release_frees_the_lease_once_and_is_idempotent() -> None:
    async with _desk() as desk:
        lease = await desk.claim()
        await desk.keeper.release(lease)
        await desk.keeper.release(lease)
        assert desk.faults.calls["coordinator.release"] == 1
        again = await desk.claim()
        assert again.fence.token > lease.fence.token
        await desk.keeper.release(lease)
        await desk.clock.sleep(60)
        assert again.live


@in_virtual_time
async def test_a_release_that_cannot_be_told_is_logged_and_the_lease_expires() -> None:
    async with _desk() as desk:
        lease = await desk.claim()
        desk.faults.once("coordinator.release", lost_request)
        await desk.keeper.release(lease)
        assert desk.witness.lines("backend unavailable")[0]["doing"] == "releasing t/k"
        assert isinstance(await desk.keeper.claim("t/k"), Held)
        await desk.clock.sleep(TERMS.ttl)
        assert isinstance(await desk.keeper.claim("t/k"), Lease)


# ---- guarding ------------------------------------------------------------------------------------------------------


def _lease(clock: VirtualClock) -> Lease:
    return Lease(LeaseRef("t/k", 7, "n"), "me", clock.now() + 10, clock)


@in_virtual_time
async def test_no_work_begins_under_a_lease_that_is_lost_or_late() -> None:
    """no-lease-no-work."""
    clock = VirtualClock()
    lost, late = _lease(clock), _lease(clock)
    lost.lose("taken away")
    await clock.sleep(10)
    for lease, why in ((lost, "taken away"), (late, "past its deadline")):
        with pytest.raises(LeaseLost, match=why), lease.guarding():
            pytest.fail("it ran")


@in_virtual_time
async def test_work_that_ends_by_itself_is_not_said_to_be_cancelled() -> None:
    lease = _lease(VirtualClock())
    with lease.guarding():
        await anyio.sleep(1)
        lease.lose("just now")


@in_virtual_time
async def test_an_outer_cancellation_is_not_taken_for_a_lost_lease() -> None:
    lease = _lease(VirtualClock())
    with anyio.move_on_after(1) as outer, lease.guarding():
        await anyio.sleep_forever()
    assert outer.cancelled_caught
    assert lease.live


@in_virtual_time
async def test_all_blocks_under_one_lease_are_cancelled() -> None:
    lease = _lease(VirtualClock())
    ended = 0

    async def work() -> None:
        nonlocal ended
        with pytest.raises(LeaseLost), lease.guarding():
            await anyio.sleep_forever()
        ended += 1

    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(work)
        await anyio.sleep(1)
        lease.lose("gone")
    assert ended == 3
