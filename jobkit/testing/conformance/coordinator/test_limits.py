"""Limits: how many leases may have something at once, and how many may begin within a time."""

from __future__ import annotations

import asyncio

from jobkit.model.limit import Limit
from jobkit.ports.coordinator import Coordinator, Granted, Held, LeaseRef
from jobkit.ports.limits import Limited, LimitInfo, Waiting
from jobkit.testing.conformance.harness import Harness, a_moment, soon

PAIR = Limit("pair", 2)
ALONE = Limit("alone", 1)


async def _ask(
    coordinator: Coordinator, resource: str, *limits: Limit, ttl: float, nonce: str = "", owner: str = "somebody"
) -> LeaseRef | Held | Limited:
    nonce = nonce or f"nonce of {resource}"
    answer = await coordinator.claim(resource, owner=owner, nonce=nonce, ttl=ttl, limits=limits)
    return LeaseRef(resource, answer.token, nonce) if isinstance(answer, Granted) else answer


async def _granted(coordinator: Coordinator, resource: str, *limits: Limit, ttl: float, nonce: str = "") -> LeaseRef:
    answer = await _ask(coordinator, resource, *limits, ttl=ttl, nonce=nonce)
    assert isinstance(answer, LeaseRef), answer
    return answer


async def _refused(coordinator: Coordinator, resource: str, *limits: Limit, ttl: float, by: Limit) -> Limited:
    answer = await _ask(coordinator, resource, *limits, ttl=ttl)
    assert isinstance(answer, Limited), answer
    assert answer.limit == by
    return answer


async def test_so_many_leases_have_a_limit_at_once_and_no_more(
    coordinator: Coordinator, coordinator_harness: Harness[Coordinator]
) -> None:
    ttl = coordinator_harness.ttl
    await _granted(coordinator, "t/1", PAIR, ttl=ttl)
    await _granted(coordinator, "t/2", PAIR, ttl=ttl)
    answer = await _refused(coordinator, "t/3", PAIR, ttl=ttl, by=PAIR)
    assert 0 < answer.remaining <= ttl
    assert [lease.resource for lease in await coordinator.leases("t/")] == ["t/1", "t/2"]


async def test_of_fifty_claims_at_once_from_two_processes_as_many_are_granted_as_the_limit_says(
    coordinator_harness: Harness[Coordinator],
) -> None:
    async with coordinator_harness.process() as one, coordinator_harness.process() as other:
        answers = await asyncio.gather(
            *(_ask((one, other)[number % 2], f"t/{number}", PAIR, ttl=coordinator_harness.ttl) for number in range(50))
        )
    assert sum(isinstance(answer, LeaseRef) for answer in answers) == PAIR.count
    assert sum(isinstance(answer, Limited) for answer in answers) == 50 - PAIR.count


async def test_a_lease_gives_its_limit_back_as_it_is_released(
    coordinator: Coordinator, coordinator_harness: Harness[Coordinator]
) -> None:
    ttl = coordinator_harness.ttl
    first = await _granted(coordinator, "t/1", ALONE, ttl=ttl)
    await _refused(coordinator, "t/2", ALONE, ttl=ttl, by=ALONE)
    assert await coordinator.release(first)
    second = await _granted(coordinator, "t/2", ALONE, ttl=ttl)
    # Once more changes nothing for the one who has it now.
    assert not await coordinator.release(first)
    await _refused(coordinator, "t/3", ALONE, ttl=ttl, by=ALONE)
    assert await coordinator.release(second)


async def test_a_lease_that_ended_no_longer_counts_and_one_that_is_renewed_does(
    coordinator: Coordinator, coordinator_harness: Harness[Coordinator]
) -> None:
    ttl = coordinator_harness.ttl
    kept = await _granted(coordinator, "t/kept", PAIR, ttl=ttl)
    await _granted(coordinator, "t/lost", PAIR, ttl=ttl)
    await coordinator_harness.elapse(ttl * 0.6)
    assert await coordinator.renew([kept], ttl=ttl) == {kept}
    await coordinator_harness.elapse(ttl * 0.6)
    await _granted(coordinator, "t/next", PAIR, ttl=ttl)
    await _refused(coordinator, "t/more", PAIR, ttl=ttl, by=PAIR)


async def test_who_lost_its_lease_has_no_say_in_the_limit_any_more(
    coordinator: Coordinator, coordinator_harness: Harness[Coordinator]
) -> None:
    ttl = coordinator_harness.ttl
    stale = await _granted(coordinator, "t/1", ALONE, ttl=ttl, nonce="stale")
    await coordinator_harness.elapse(ttl * 1.01)
    await _granted(coordinator, "t/1", ALONE, ttl=ttl, nonce="live")
    assert await coordinator.renew([stale], ttl=ttl) == frozenset()
    assert not await coordinator.release(stale)
    await _refused(coordinator, "t/2", ALONE, ttl=ttl, by=ALONE)


async def test_claiming_again_with_the_nonce_uses_nothing_more(
    coordinator: Coordinator, coordinator_harness: Harness[Coordinator]
) -> None:
    ttl = coordinator_harness.ttl
    starts = Limit("starts", 2, per=ttl)
    lease = await _granted(coordinator, "t/1", PAIR, starts, ttl=ttl)
    assert await _granted(coordinator, "t/1", PAIR, starts, ttl=ttl) == lease
    await _granted(coordinator, "t/2", PAIR, starts, ttl=ttl)


async def test_a_claim_has_all_of_its_limits_or_none(
    coordinator: Coordinator, coordinator_harness: Harness[Coordinator]
) -> None:
    ttl = coordinator_harness.ttl
    starts = Limit("starts", 5, per=100 * ttl)
    lease = await _granted(coordinator, "t/1", ALONE, ttl=ttl)
    await _refused(coordinator, "t/2", starts, PAIR, ALONE, ttl=ttl, by=ALONE)
    assert [info.limit for info in await coordinator.limits()] == [ALONE]
    assert await coordinator.release(lease)
    await _granted(coordinator, "t/2", starts, PAIR, ALONE, ttl=ttl)
    assert [info.limit for info in await coordinator.limits()] == [ALONE, PAIR, starts]


async def test_a_resource_that_is_held_is_told_before_a_limit(
    coordinator: Coordinator, coordinator_harness: Harness[Coordinator]
) -> None:
    ttl = coordinator_harness.ttl
    await _granted(coordinator, "t/1", ALONE, ttl=ttl)
    assert isinstance(await _ask(coordinator, "t/1", ALONE, ttl=ttl, nonce="other"), Held)


async def test_buckets_of_one_limit_are_counted_each_for_itself(
    coordinator: Coordinator, coordinator_harness: Harness[Coordinator]
) -> None:
    ttl = coordinator_harness.ttl
    await _granted(coordinator, "t/1", Limit("tenant/a", 1), ttl=ttl)
    await _granted(coordinator, "t/2", Limit("tenant/b", 1), ttl=ttl)
    await _granted(coordinator, "t/3", Limit("tenant/a/", 1), ttl=ttl)
    await _refused(coordinator, "t/4", Limit("tenant/a", 1), ttl=ttl, by=Limit("tenant/a", 1))


async def test_so_many_begin_within_the_time_however_soon_they_end(
    coordinator: Coordinator, coordinator_harness: Harness[Coordinator]
) -> None:
    ttl = coordinator_harness.ttl
    starts = Limit("starts", 2, per=2 * ttl)
    for number in range(2):
        assert await coordinator.release(await _granted(coordinator, f"t/{number}", starts, ttl=ttl))
        await coordinator_harness.elapse(ttl * 0.6)
    answer = await _refused(coordinator, "t/3", starts, ttl=ttl, by=starts)
    # Until the first of the two began so long ago.
    assert 0.5 * ttl < answer.remaining < ttl
    await coordinator_harness.elapse(ttl)
    lease = await _granted(coordinator, "t/3", starts, ttl=ttl)
    assert await coordinator.renew([lease], ttl=ttl) == {lease}
    await _refused(coordinator, "t/4", starts, ttl=ttl, by=starts)


async def test_a_start_that_was_none_is_given_back(
    coordinator: Coordinator, coordinator_harness: Harness[Coordinator]
) -> None:
    ttl = coordinator_harness.ttl
    starts = Limit("starts", 1, per=100 * ttl)
    assert await coordinator.release(await _granted(coordinator, "t/1", starts, ttl=ttl), unused=True)
    assert await coordinator.release(await _granted(coordinator, "t/2", starts, ttl=ttl))
    await _refused(coordinator, "t/3", starts, ttl=ttl, by=starts)


async def test_a_wait_ends_with_the_release_in_another_process(
    coordinator_harness: Harness[Coordinator],
) -> None:
    ttl = coordinator_harness.ttl
    async with coordinator_harness.process() as one, coordinator_harness.process() as other:
        lease = await _granted(one, "t/1", ALONE, ttl=100 * ttl)
        waiting = asyncio.create_task(other.wait_limit(ALONE, 60.0))
        await a_moment()
        assert not waiting.done()
        await one.release(lease)
        await soon(waiting)
        await _granted(other, "t/2", ALONE, ttl=ttl)


async def test_a_wait_for_what_has_room_is_none_and_one_for_what_has_not_ends_in_time(
    coordinator: Coordinator, coordinator_harness: Harness[Coordinator]
) -> None:
    await soon(coordinator.wait_limit(ALONE, 60.0))
    await _granted(coordinator, "t/1", ALONE, ttl=100 * coordinator_harness.ttl)
    await soon(coordinator.wait_limit(ALONE, 0.0))


async def test_limits_in_use_are_listed_by_bucket_with_who_has_them(
    coordinator: Coordinator, coordinator_harness: Harness[Coordinator]
) -> None:
    ttl = coordinator_harness.ttl
    starts = Limit("starts/a", 3, per=ttl)
    await _granted(coordinator, "t/2", PAIR, starts, ttl=ttl)
    await _granted(coordinator, "t/1", PAIR, ttl=ttl)
    pair, begun = await coordinator.limits()
    assert isinstance(pair, LimitInfo)
    assert (pair.limit, pair.used, pair.holders) == (PAIR, 2, ("t/1", "t/2"))
    assert (begun.limit, begun.used, begun.holders) == (starts, 1, ())
    assert 0 < pair.remaining <= ttl
    assert 0 < begun.remaining <= ttl
    assert [info.limit for info in await coordinator.limits("starts/")] == [starts]
    assert await coordinator.limits("other") == []
    assert [info.limit for info in await coordinator.limits(limit=1)] == [PAIR]
    assert [info.limit for info in await coordinator.limits(after=PAIR.bucket)] == [starts]
    assert [info.limit for info in await coordinator.limits("starts/", after="starts/a")] == []
    await coordinator_harness.elapse(ttl * 1.01)
    assert await coordinator.limits() == []


async def test_the_latest_declaration_of_a_limit_decides(
    coordinator: Coordinator, coordinator_harness: Harness[Coordinator]
) -> None:
    ttl = coordinator_harness.ttl
    await _granted(coordinator, "t/1", ALONE, ttl=ttl)
    wider = Limit(ALONE.bucket, 2)
    await _granted(coordinator, "t/2", wider, ttl=ttl)
    assert [info.limit for info in await coordinator.limits()] == [wider]
    await _refused(coordinator, "t/3", ALONE, ttl=ttl, by=ALONE)


async def test_what_waits_is_noted_for_a_while_by_each_worker(
    coordinator: Coordinator, coordinator_harness: Harness[Coordinator]
) -> None:
    ttl = coordinator_harness.ttl
    ann = [Waiting("ann", "pair", 7, ("j1", "j2")), Waiting("ann", "starts/a", 1, ("j3",))]
    bob = [Waiting("bob", "pair", 1, ("j4",))]
    await coordinator.note_waiting("bob", bob, ttl=ttl)
    await coordinator.note_waiting("ann", ann, ttl=ttl)
    assert await coordinator.waiting() == [*ann, *bob]
    await coordinator.note_waiting("bob", [], ttl=ttl)
    assert await coordinator.waiting() == ann
    await coordinator_harness.elapse(ttl * 1.01)
    assert await coordinator.waiting() == []
