"""Slots: so many processors at once, and as many other jobs under way as the wire takes."""

from __future__ import annotations

import anyio
import pytest

from jobkit.runner.slots import Slots
from jobkit.testing.virtual_time import VirtualClock
from tests.virtual_site import in_virtual_time


def _slots(count: int, *, most_ahead: int | None = None) -> Slots:
    return Slots(count, VirtualClock(), most_ahead=most_ahead)


async def _job(slots: Slots, *, wire: float, work: float) -> None:
    async with slots.admitted() as slot:
        await anyio.sleep(wire)
        await slot.begin()
        await anyio.sleep(work)
        slot.end()


async def _failing(slots: Slots) -> None:
    async with slots.admitted() as slot:
        await slot.begin()
        raise KeyError


@in_virtual_time
async def test_no_more_are_taken_than_there_are() -> None:
    slots = _slots(2)
    async with slots.admitted(), slots.admitted():
        with anyio.move_on_after(1) as waited:
            async with slots.admitted():
                pytest.fail("a third one")
        assert waited.cancelled_caught
    async with slots.admitted(), slots.admitted():
        pass


@in_virtual_time
async def test_no_more_processors_run_than_there_are_slots_however_slow_the_wire_is() -> None:
    slots = _slots(2)
    running = most = 0

    async def job() -> None:
        nonlocal running, most
        async with slots.admitted() as slot:
            await anyio.sleep(2)
            await slot.begin()
            running += 1
            most = max(most, running)
            await anyio.sleep(0.5)
            running -= 1
            slot.end()

    async with anyio.create_task_group() as tasks:
        for _ in range(100):
            tasks.start_soon(job)
    assert most == 2


@in_virtual_time
async def test_a_slow_wire_lets_more_jobs_be_under_way_and_a_quick_one_does_not() -> None:
    slow, quick = _slots(2), _slots(2)
    for _ in range(50):
        await _job(slow, wire=2, work=0.5)
        await _job(quick, wire=0.001, work=6)
    assert 2 + 7 <= slow.limit <= 2 + 8
    assert quick.limit == 2


@in_virtual_time
async def test_what_may_be_under_way_is_bounded() -> None:
    slots = _slots(3, most_ahead=5)
    for _ in range(50):
        await _job(slots, wire=6, work=0.001)
    assert slots.limit == 8


@in_virtual_time
async def test_a_place_given_back_goes_to_who_waits_and_is_taken_again_later() -> None:
    slots = _slots(1)
    order: list[str] = []

    async def other() -> None:
        async with slots.admitted() as slot:
            await slot.begin()
            order.append("other")
            await anyio.sleep(5)

    async with anyio.create_task_group() as tasks, slots.admitted() as slot:
        await slot.begin()
        tasks.start_soon(other)
        await anyio.sleep(1)
        order.append("lend")
        slot.give_back()
        slot.give_back()
        await slot.begin()
        order.append("back")
    assert order == ["lend", "other", "back"]


@in_virtual_time
async def test_a_place_is_free_again_however_its_block_ends() -> None:
    slots = _slots(1)
    with pytest.raises(KeyError):
        await _failing(slots)
    async with slots.admitted() as slot:
        slot.give_back()
    # Cancelled while it waits to have it back, it must not give back what it does not hold.
    async with slots.admitted() as first:
        first.give_back()
        async with slots.admitted():
            with anyio.move_on_after(1):
                await first.begin()
    async with slots.admitted():
        with anyio.move_on_after(1) as waited:
            async with slots.admitted():
                pytest.fail("two of one")
        assert waited.cancelled_caught


@in_virtual_time
async def test_who_is_cancelled_in_the_moment_of_its_turn_passes_it_on() -> None:
    slots = _slots(1)
    entered: list[str] = []

    async def wait(name: str, scope: anyio.CancelScope) -> None:
        with scope:
            async with slots.admitted():
                entered.append(name)

    first, second = anyio.CancelScope(), anyio.CancelScope()
    async with anyio.create_task_group() as tasks, slots.admitted():
        tasks.start_soon(wait, "first", first)
        await anyio.sleep(1)
        tasks.start_soon(wait, "second", second)
        await anyio.sleep(1)
        first.cancel()
        # Its turn came by the exit of the block above, when it was to end already.
    assert entered == ["second"]
