"""Slots: so many at once, and a slot that waits can be lent."""

from __future__ import annotations

import anyio
import pytest

from jobkit.runner.slots import Slots
from tests.virtual_site import in_virtual_time


@in_virtual_time
async def test_no_more_are_taken_than_there_are() -> None:
    slots = Slots(2)
    async with slots.taken(), slots.taken():
        with anyio.move_on_after(1) as waited:
            async with slots.taken():
                pytest.fail("a third one")
        assert waited.cancelled_caught
    async with slots.taken(), slots.taken():
        pass


@in_virtual_time
async def test_a_slot_given_back_goes_to_who_waits_and_is_taken_again_later() -> None:
    slots = Slots(1)
    order: list[str] = []

    async def other() -> None:
        async with slots.taken():
            order.append("other")
            await anyio.sleep(5)

    async with anyio.create_task_group() as tasks, slots.taken() as slot:
        tasks.start_soon(other)
        await anyio.sleep(1)
        order.append("lend")
        slot.give_back()
        slot.give_back()
        await slot.take()
        order.append("back")
    assert order == ["lend", "other", "back"]


@in_virtual_time
async def test_a_slot_is_free_again_however_its_block_ends() -> None:
    slots = Slots(1)
    with pytest.raises(KeyError):
        async with slots.taken():
            raise KeyError
    async with slots.taken() as slot:
        slot.give_back()
    # Cancelled while it waits to have it back, it must not give back what it does not hold.
    async with slots.taken() as first:
        first.give_back()
        async with slots.taken():
            with anyio.move_on_after(1):
                await first.take()
    async with slots.taken():
        with anyio.move_on_after(1) as waited:
            async with slots.taken():
                pytest.fail("two of one")
        assert waited.cancelled_caught
