"""Leases: who may work now."""

from __future__ import annotations

import asyncio

from jobkit.ports.coordinator import Coordinator, Granted, Held, LeaseRef
from jobkit.testing.conformance.harness import Harness, soon


async def granted(
    coordinator: Coordinator, resource: str, nonce: str, *, ttl: float, owner: str = "somebody", floor: int = 0
) -> LeaseRef:
    answer = await coordinator.claim(resource, owner=owner, nonce=nonce, ttl=ttl, floor=floor)
    assert isinstance(answer, Granted), answer
    return LeaseRef(resource, answer.token, nonce)


async def test_a_free_resource_is_granted_and_a_held_one_tells_by_whom_and_for_how_long(
    coordinator: Coordinator, coordinator_harness: Harness[Coordinator]
) -> None:
    ttl = coordinator_harness.ttl
    lease = await granted(coordinator, "t/k", "n1", ttl=ttl, owner="first")
    answer = await coordinator.claim("t/k", owner="second", nonce="n2", ttl=ttl)
    assert isinstance(answer, Held)
    assert (answer.owner, answer.token) == ("first", lease.token)
    assert 0 < answer.remaining <= ttl


async def test_of_fifty_claims_at_once_one_is_granted(coordinator_harness: Harness[Coordinator]) -> None:
    async with coordinator_harness.process() as one, coordinator_harness.process() as other:
        answers = await asyncio.gather(
            *(
                (one, other)[number % 2].claim(
                    "t/k", owner=f"o{number}", nonce=f"n{number}", ttl=coordinator_harness.ttl
                )
                for number in range(50)
            )
        )
    assert sum(isinstance(answer, Granted) for answer in answers) == 1
    (winner,) = {answer.owner for answer in answers if isinstance(answer, Held)}
    assert isinstance(answers[int(winner.removeprefix("o"))], Granted)


async def test_tokens_rise_with_every_grant_whatever_ended_the_lease_before(
    coordinator: Coordinator, coordinator_harness: Harness[Coordinator]
) -> None:
    ttl = coordinator_harness.ttl
    first = await granted(coordinator, "t/k", "n1", ttl=ttl)
    assert await coordinator.release(first)
    second = await granted(coordinator, "t/k", "n2", ttl=ttl)
    await coordinator_harness.elapse(ttl * 1.01)
    third = await granted(coordinator, "t/k", "n3", ttl=ttl)
    assert first.token < second.token < third.token


async def test_tokens_rise_across_processes_that_come_and_go(coordinator_harness: Harness[Coordinator]) -> None:
    tokens = []
    for number in range(5):
        async with coordinator_harness.process() as coordinator:
            lease = await granted(coordinator, "t/k", f"n{number}", ttl=coordinator_harness.ttl)
            await coordinator.release(lease)
            tokens.append(lease.token)
    assert tokens == sorted(set(tokens))


async def test_a_token_lies_above_the_floor(
    coordinator: Coordinator, coordinator_harness: Harness[Coordinator]
) -> None:
    ttl = coordinator_harness.ttl
    first = await granted(coordinator, "t/k", "n1", ttl=ttl, floor=10_000)
    await coordinator.release(first)
    second = await granted(coordinator, "t/k", "n2", ttl=ttl)
    assert 10_000 < first.token < second.token


async def test_claiming_again_with_the_nonce_answers_the_same_token_and_extends_nothing(
    coordinator: Coordinator, coordinator_harness: Harness[Coordinator]
) -> None:
    ttl = coordinator_harness.ttl
    lease = await granted(coordinator, "t/k", "n1", ttl=ttl)
    await coordinator_harness.elapse(ttl * 0.6)
    assert await granted(coordinator, "t/k", "n1", ttl=ttl) == lease
    await coordinator_harness.elapse(ttl * 0.6)
    # Had the second claim extended the lease, it would still be held.
    await granted(coordinator, "t/k", "n2", ttl=ttl)


async def test_the_same_claim_sent_many_times_at_once_is_one_lease(
    coordinator: Coordinator, coordinator_harness: Harness[Coordinator]
) -> None:
    ttl = coordinator_harness.ttl
    answers = await asyncio.gather(*(granted(coordinator, "t/k", "n1", ttl=ttl) for _ in range(20)))
    assert len(set(answers)) == 1


async def test_a_lease_disappears_as_a_whole_when_it_expires(
    coordinator: Coordinator, coordinator_harness: Harness[Coordinator]
) -> None:
    ttl = coordinator_harness.ttl
    lease = await granted(coordinator, "t/k", "n1", ttl=ttl)
    await coordinator_harness.elapse(ttl * 1.01)
    assert await coordinator.leases() == []
    assert await coordinator.renew([lease], ttl=ttl) == frozenset()
    assert not await coordinator.release(lease)
    again = await granted(coordinator, "t/k", "n1", ttl=ttl)
    assert again.token > lease.token


async def test_an_expired_lease_that_nobody_cleaned_up_is_free_for_the_next_claim(
    coordinator: Coordinator, coordinator_harness: Harness[Coordinator]
) -> None:
    ttl = coordinator_harness.ttl
    first = await granted(coordinator, "t/k", "n1", ttl=ttl)
    await coordinator_harness.elapse(ttl * 1.01)
    second = await granted(coordinator, "t/k", "n2", ttl=ttl)
    assert second.token > first.token
    await coordinator_harness.elapse(ttl * 1.01)
    assert not await coordinator.release(second)


async def test_renewing_extends_what_is_held_and_only_that(
    coordinator: Coordinator, coordinator_harness: Harness[Coordinator]
) -> None:
    ttl = coordinator_harness.ttl
    held = [await granted(coordinator, f"t/{number}", f"n{number}", ttl=ttl) for number in range(3)]
    await coordinator.release(held[0])
    strangers = [
        LeaseRef("t/1", held[1].token + 1, "n1"),
        LeaseRef("t/1", held[1].token, "other"),
        LeaseRef("t/never", 1, "n"),
    ]
    await coordinator_harness.elapse(ttl * 0.6)
    assert await coordinator.renew([*held, *strangers], ttl=ttl) == frozenset(held[1:])
    await coordinator_harness.elapse(ttl * 0.6)
    assert [lease.resource for lease in await coordinator.leases()] == ["t/1", "t/2"]
    assert await coordinator.renew([], ttl=ttl) == frozenset()


async def test_a_lease_that_was_taken_over_cannot_be_renewed_or_released_by_its_first_holder(
    coordinator: Coordinator, coordinator_harness: Harness[Coordinator]
) -> None:
    ttl = coordinator_harness.ttl
    stale = await granted(coordinator, "t/k", "n1", ttl=ttl)
    await coordinator_harness.elapse(ttl * 1.01)
    live = await granted(coordinator, "t/k", "n2", ttl=ttl, owner="second")
    assert await coordinator.renew([stale], ttl=ttl) == frozenset()
    assert not await coordinator.release(stale)
    (info,) = await coordinator.leases()
    assert (info.owner, info.token) == ("second", live.token)


async def test_release_compares_token_and_nonce(
    coordinator: Coordinator, coordinator_harness: Harness[Coordinator]
) -> None:
    lease = await granted(coordinator, "t/k", "n1", ttl=coordinator_harness.ttl)
    assert not await coordinator.release(LeaseRef("t/k", lease.token, "other"))
    assert not await coordinator.release(LeaseRef("t/k", lease.token + 1, "n1"))
    assert await coordinator.release(lease)
    assert not await coordinator.release(lease)


async def test_leases_are_listed_by_resource_below_a_prefix_with_time_left(
    coordinator: Coordinator, coordinator_harness: Harness[Coordinator]
) -> None:
    ttl = coordinator_harness.ttl
    for resource in ("b/2", "a/%_x", "b/1", "a/é", "a/1"):
        await granted(coordinator, resource, resource, ttl=ttl, owner="me")
    assert [lease.resource for lease in await coordinator.leases()] == ["a/%_x", "a/1", "a/é", "b/1", "b/2"]
    assert [lease.resource for lease in await coordinator.leases("b/")] == ["b/1", "b/2"]
    assert [lease.resource for lease in await coordinator.leases("a/%")] == ["a/%_x"]
    assert all(lease.owner == "me" and 0 < lease.remaining <= ttl for lease in await coordinator.leases())


async def test_waiting_ends_when_another_process_releases(coordinator_harness: Harness[Coordinator]) -> None:
    ttl = coordinator_harness.ttl
    async with coordinator_harness.process() as holder, coordinator_harness.process() as waiter:
        lease = await granted(holder, "t/k", "n1", ttl=ttl)
        waiting = asyncio.create_task(waiter.wait_change("t/k", ttl))
        await coordinator_harness.elapse(ttl * 0.2)
        assert not waiting.done()
        await holder.release(lease)
        await soon(waiting)
        await granted(waiter, "t/k", "n2", ttl=ttl)


async def test_waiting_for_a_resource_that_is_free_already_ends_at_once(
    coordinator: Coordinator, coordinator_harness: Harness[Coordinator]
) -> None:
    await soon(coordinator.wait_change("t/k", coordinator_harness.ttl))


async def test_waiting_ends_when_the_lease_expires(
    coordinator: Coordinator, coordinator_harness: Harness[Coordinator]
) -> None:
    ttl = coordinator_harness.ttl
    await granted(coordinator, "t/k", "n1", ttl=ttl)
    waiting = asyncio.create_task(coordinator.wait_change("t/k", ttl * 100))
    await coordinator.leases()
    await coordinator_harness.elapse(ttl * 1.01)
    await soon(waiting)


async def test_waiting_ends_after_its_timeout(
    coordinator: Coordinator, coordinator_harness: Harness[Coordinator]
) -> None:
    ttl = coordinator_harness.ttl
    await granted(coordinator, "t/k", "n1", ttl=ttl)
    waiting = asyncio.create_task(coordinator.wait_change("t/k", ttl / 4))
    await coordinator.leases()
    await coordinator_harness.elapse(ttl / 2)
    await soon(waiting)
    assert len(await coordinator.leases()) == 1


async def test_waiting_below_a_prefix_ends_when_any_of_its_resources_is_released(
    coordinator_harness: Harness[Coordinator],
) -> None:
    ttl = coordinator_harness.ttl
    async with coordinator_harness.process() as holder, coordinator_harness.process() as waiter:
        lease = await granted(holder, "leader/t/1", "n1", ttl=ttl)
        await granted(holder, "leader/t/2", "n2", ttl=ttl)
        elsewhere = await granted(holder, "other/t/1", "n3", ttl=ttl)
        waiting = asyncio.create_task(waiter.wait_change("leader/", ttl))
        await waiter.leases()
        await holder.release(elsewhere)
        await coordinator_harness.elapse(ttl * 0.2)
        assert not waiting.done()
        await holder.release(lease)
        await soon(waiting)


async def test_waiting_below_a_prefix_ends_when_a_lease_expires(
    coordinator: Coordinator, coordinator_harness: Harness[Coordinator]
) -> None:
    ttl = coordinator_harness.ttl
    await granted(coordinator, "leader/t/1", "n1", ttl=ttl)
    waiting = asyncio.create_task(coordinator.wait_change("leader/", ttl * 100))
    await coordinator.leases()
    await coordinator_harness.elapse(ttl * 1.01)
    await soon(waiting)


async def test_waiting_since_a_look_ends_at_once_where_something_ended_after_it(
    coordinator: Coordinator, coordinator_harness: Harness[Coordinator]
) -> None:
    ttl = coordinator_harness.ttl
    gone = await granted(coordinator, "leader/t/1", "n1", ttl=ttl)
    await granted(coordinator, "leader/t/2", "n2", ttl=ttl)
    seen = await coordinator.leases("leader/")
    await coordinator.release(gone)
    await soon(coordinator.wait_change("leader/", ttl * 100, since=seen))
    # Led again meanwhile is a change too.
    await granted(coordinator, "leader/t/1", "n3", ttl=ttl)
    await soon(coordinator.wait_change("leader/", ttl * 100, since=seen))


async def test_waiting_since_a_look_goes_on_where_nothing_ended_after_it(
    coordinator: Coordinator, coordinator_harness: Harness[Coordinator]
) -> None:
    ttl = coordinator_harness.ttl
    await granted(coordinator, "leader/t/1", "n1", ttl=ttl)
    seen = await coordinator.leases("leader/")
    await granted(coordinator, "leader/t/2", "n2", ttl=ttl)
    waiting = asyncio.create_task(coordinator.wait_change("leader/", ttl / 2, since=seen))
    await coordinator_harness.elapse(ttl / 4)
    assert not waiting.done()
    await coordinator_harness.elapse(ttl / 2)
    await soon(waiting)


async def test_leases_outlive_the_process_that_claimed_them(coordinator_harness: Harness[Coordinator]) -> None:
    ttl = coordinator_harness.ttl
    async with coordinator_harness.process() as gone:
        lease = await granted(gone, "t/k", "n1", ttl=ttl, owner="gone")
    async with coordinator_harness.process() as coordinator:
        answer = await coordinator.claim("t/k", owner="new", nonce="n2", ttl=ttl)
        assert isinstance(answer, Held)
        assert answer.owner == "gone"
        assert await coordinator.renew([lease], ttl=ttl) == {lease}
