"""Live updates: what changes is sent, what does not is not, and many tabs are one look at the store."""

from __future__ import annotations

import anyio
import anyio.lowlevel
import pytest

from jobkit.web.live import EVERY_SECONDS, fragments
from jobkit.web.page_cache import FRESH_SECONDS, PageCache


class Clock:
    """A clock whose sleeping passes no real time."""

    def __init__(self) -> None:
        self.time = 0.0

    def now(self) -> float:
        return self.time

    def wall(self) -> float:
        return 1_700_000_000 + self.time

    async def sleep(self, seconds: float) -> None:
        self.time += seconds
        await anyio.lowlevel.checkpoint()


async def test_only_what_changes_is_sent() -> None:
    clock = Clock()
    shown = ["<p>\none</p>"]

    async def look() -> str:
        return shown[0]

    stream = fragments(look, clock)
    assert await anext(stream) == b"retry: 2000\n\n"
    assert await anext(stream) == b"event: page\ndata: <p>\ndata: one</p>\n\n"
    # Nothing has changed, so that all that comes is a sign of life.
    assert (await anext(stream)).startswith(b":")
    assert clock.now() > 20
    shown[0] = "two"
    assert await anext(stream) == b"event: page\ndata: two\n\n"
    # A stream ends, so that whoever may look no longer is asked who they are.
    async for _ in stream:
        pass
    assert 300 <= clock.now() < 300 + 2 * EVERY_SECONDS


async def test_many_tabs_are_one_look_at_the_store() -> None:
    clock = Clock()
    looks, asked = PageCache(clock), 0

    async def ask() -> int:
        nonlocal asked
        asked += 1
        await anyio.lowlevel.checkpoint()
        return asked

    found: list[int] = []

    async def tab() -> None:
        found.append(await looks.look("overview", ask))

    for _ in range(2):
        async with anyio.create_task_group() as tasks:
            for _ in range(50):
                tasks.start_soon(tab)
        clock.time += FRESH_SECONDS + 0.1
    assert found == [1] * 50 + [2] * 50
    looks.forget()
    await tab()
    assert found[-1] == 3


async def test_a_look_that_failed_or_was_given_up_is_taken_again() -> None:
    looks = PageCache(Clock())

    async def fail() -> int:
        raise OSError("away")

    async def never() -> int:
        await anyio.sleep_forever()
        return 0

    async def ask() -> int:
        return 7

    with pytest.raises(OSError, match="away"):
        await looks.look("a", fail)
    with anyio.move_on_after(0.01):
        await looks.look("a", never)
    assert await looks.look("a", ask) == 7
