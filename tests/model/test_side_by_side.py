"""Calls that are made side by side: all of them end, and what cancels them is known for its own."""

from __future__ import annotations

from contextlib import suppress
from functools import partial

import anyio
import anyio.lowlevel
import pytest

from jobkit.model.side_by_side import outcomes, side_by_side


async def echo(value: int, turns: int = 0) -> int:
    for _ in range(turns):
        await anyio.lowlevel.checkpoint()
    return value


async def fail(error: Exception) -> int:
    raise error


async def test_what_is_returned_is_in_order() -> None:
    assert await side_by_side(partial(echo, number, 3 - number) for number in range(3)) == [0, 1, 2]
    assert await side_by_side([]) == []


async def test_an_error_is_raised_alone_once_nothing_is_under_way() -> None:
    done: list[int] = []

    async def slow() -> int:
        done.append(await echo(1, 5))
        return 1

    with pytest.raises(ValueError, match="no"):
        await side_by_side([partial(fail, ValueError("no")), slow])
    assert done == [1]
    first, second = await outcomes([partial(fail, ValueError("no")), slow])
    assert isinstance(first, ValueError)
    assert second == 1


async def test_a_scope_that_is_cancelled_ends_there_also_where_the_last_call_ends_well() -> None:
    began = anyio.Event()

    async def ends_well() -> int:
        began.set()
        with suppress(anyio.get_cancelled_exc_class()):
            await anyio.sleep_forever()
        return 1

    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as tasks:

            async def cancel() -> None:
                await began.wait()
                scope.cancel()

            tasks.start_soon(cancel)
            await side_by_side([ends_well])
    # `asyncio.gather` raises here what no scope takes back.
    assert scope.cancelled_caught
