"""What a plugin's coroutine does ends with it: in its own context, in its time, whatever it raises or swallows."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from contextvars import ContextVar

import anyio
import pytest

from jobkit.runner.contained import GRACE_SECONDS, Raised, Returned, TimedOut, contained
from tests.virtual_site import in_virtual_time

_seen: ContextVar[str] = ContextVar("seen", default="nothing")


class Stops:
    """What `on_stop` was told, and when."""

    def __init__(self) -> None:
        self.told: list[tuple[float, bool]] = []
        self._began = anyio.current_time()

    def __call__(self, given_up: bool) -> None:
        self.told.append((round(anyio.current_time() - self._began, 3), given_up))


async def _returns() -> str:
    await anyio.sleep(1)
    return "done"


@in_virtual_time
async def test_what_it_returns_comes_back() -> None:
    stops = Stops()
    assert await contained(_returns(), limit=10, on_stop=stops) == Returned("done")
    assert stops.told == []


@in_virtual_time
async def test_what_it_sets_in_context_variables_is_gone_with_it_and_what_was_set_before_is_seen() -> None:
    async def leaks() -> str:
        before = _seen.get()
        _seen.set("leaked")
        await anyio.sleep(1)
        assert _seen.get() == "leaked"
        return before

    _seen.set("outside")
    for _ in range(2):
        assert await contained(leaks(), limit=10, on_stop=Stops()) == Returned("outside")
    assert _seen.get() == "outside"


class Odd(BaseException):
    """An error that is no `Exception`."""


@pytest.mark.parametrize("error", [SystemExit(2), Odd(), ValueError("x"), GeneratorExit, asyncio.CancelledError()])
@in_virtual_time
async def test_whatever_it_raises_is_told(error: BaseException) -> None:
    async def raises() -> None:
        await anyio.sleep(1)
        if error is GeneratorExit:
            sys.exit("as argparse does")
        raise error

    ended = await contained(raises(), limit=10, on_stop=Stops())
    assert isinstance(ended, Raised)
    assert isinstance(ended.error, SystemExit) if error is GeneratorExit else ended.error is error


def test_a_real_ctrl_c_is_not_its_own() -> None:
    async def interrupted() -> None:
        raise KeyboardInterrupt

    async def program() -> None:
        await contained(interrupted(), limit=10, on_stop=Stops())

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(program())


@in_virtual_time
async def test_at_its_limit_it_is_cancelled_and_may_clean_up() -> None:
    steps: list[str] = []

    async def cleans() -> None:
        try:
            await anyio.sleep(100)
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(2)
            steps.append("clean")

    stops = Stops()
    ended = await contained(cleans(), limit=10, on_stop=stops)
    assert isinstance(ended, TimedOut)
    assert isinstance(ended.error, asyncio.CancelledError)
    assert (steps, stops.told) == (["clean"], [(10, False)])


@in_virtual_time
async def test_a_limit_holds_where_the_cancellation_is_swallowed_once() -> None:
    async def stubborn() -> str:
        try:
            await anyio.sleep(100)
        except anyio.get_cancelled_exc_class():
            pass
        return "I did it all the same"

    ended = await contained(stubborn(), limit=10, on_stop=Stops())
    assert isinstance(ended, TimedOut)
    assert "returned after it was cancelled" in str(ended.error)


async def _swallows(heard: list[float]) -> None:
    while True:
        try:
            await anyio.sleep(1_000)
        except asyncio.CancelledError:
            heard.append(anyio.current_time())


async def _shields(heard: list[float]) -> None:
    with anyio.CancelScope(shield=True):
        try:
            await anyio.sleep_forever()
        finally:
            heard.append(anyio.current_time())


async def _swallows_being_closed(heard: list[float]) -> None:
    try:
        await _swallows(heard)
    finally:
        # "coroutine ignored GeneratorExit"
        await anyio.sleep(1_000)


@pytest.mark.parametrize("work", [_swallows, _shields, _swallows_being_closed])
@in_virtual_time
async def test_what_never_stops_is_given_up_after_the_grace_and_never_resumed(
    work: Callable[[list[float]], Awaitable[None]],
) -> None:
    heard: list[float] = []
    stops = Stops()

    async def runs() -> None:
        await work(heard)

    assert await contained(runs(), limit=10, on_stop=stops) == TimedOut(None)
    assert stops.told == [(10, False), (10 + GRACE_SECONDS, True)]
    assert 1 <= len(heard) < 30, "it is told again now and then, not in each turn of the loop"
    before = len(heard)
    await anyio.sleep(100)
    assert len(heard) == before


@in_virtual_time
async def test_cancelling_the_caller_cancels_it_and_waits_for_its_clean_up() -> None:
    steps: list[str] = []

    async def cleans() -> None:
        try:
            await anyio.sleep(100)
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(2)
            steps.append("clean")

    began = anyio.current_time()
    stops = Stops()
    with anyio.move_on_after(3) as scope:
        await contained(cleans(), limit=50, on_stop=stops)
    assert scope.cancelled_caught
    assert anyio.current_time() - began == 5
    assert (steps, stops.told) == (["clean"], [(3, False)])


@in_virtual_time
async def test_a_caller_that_is_cancelled_waits_no_longer_than_the_grace() -> None:
    heard: list[float] = []
    began = anyio.current_time()
    with anyio.move_on_after(3) as scope:
        await contained(_swallows(heard), limit=500, on_stop=Stops())
    assert scope.cancelled_caught
    assert anyio.current_time() - began == 3 + GRACE_SECONDS
    before = len(heard)
    await anyio.sleep(100)
    assert len(heard) == before


@in_virtual_time
async def test_a_native_cancellation_of_the_caller_reaches_it_too() -> None:
    steps: list[str] = []

    async def cleans() -> None:
        try:
            await anyio.sleep(100)
        finally:
            steps.append("clean")

    task = asyncio.create_task(contained(cleans(), limit=50, on_stop=Stops()))
    await anyio.sleep(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert steps == ["clean"]
