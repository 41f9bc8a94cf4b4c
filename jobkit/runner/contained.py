"""Runs a plugin's coroutine so that whatever it does ends with it.

It gets a task and a context of its own: what it sets in context variables is gone with it, and `SystemExit` is an error
like others. It is cancelled when its time is over, or when its host is. Cancellation goes by anyio's rules, so shielded
clean-up is let finish, and is repeated at growing intervals while it is swallowed. What has not stopped after a grace
period is given up: its coroutine is closed and never resumed.

What it does not promise: threads that the coroutine has started run on, and so do tasks that it left to themselves.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Coroutine, Generator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

import anyio

T = TypeVar("T")

# How long after its cancellation a coroutine may clean up.
GRACE_SECONDS = 5.0
# It is told again after the first figure, doubling up to the second: anyio alone does so in each turn of the loop.
_REPEAT_SECONDS = (0.001, 1.0)
# How long the task may take to end once its coroutine is closed, which needs one turn of the loop.
_CLOSING_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Returned(Generic[T]):
    """The coroutine returned this."""

    value: T


@dataclass(frozen=True, slots=True)
class Raised:
    """The coroutine raised this; `KeyboardInterrupt` is never among it."""

    error: BaseException


@dataclass(frozen=True, slots=True)
class TimedOut:
    """The coroutine was cancelled at its time limit, and stopped there with `error`; None: it was given up."""

    error: BaseException | None


async def contained(
    work: Coroutine[Any, Any, T], *, limit: float, on_stop: Callable[[bool], None], grace: float = GRACE_SECONDS
) -> Returned[T] | Raised | TimedOut:
    """Run `work` for at most `limit` seconds, and say how it ended.

    `on_stop` is called as the coroutine is cancelled, with False, and again with True where it is given up. When the
    caller is cancelled so is the coroutine, and the caller goes on as cancelled once it has stopped or is given up.
    """
    cell = _Cell(work)
    task = asyncio.create_task(cell.run())
    try:
        if await _done_within(task, limit):
            return task.result()
        return TimedOut(await _stopped(cell, task, on_stop, grace))
    except asyncio.CancelledError:
        if not task.done():
            await _stopped(cell, task, on_stop, grace)
        raise
    finally:
        # Only where somebody was in too much of a hurry even for the grace period.
        task.cancel()


async def _done_within(task: asyncio.Task[Any], limit: float) -> bool:
    """Return whether the task is done within `limit` seconds: as `asyncio.wait`, with less work for one.

    Not `wait_for`, which would wait for a coroutine that does not stop.
    """
    loop = asyncio.get_running_loop()
    looked_at = loop.create_future()

    def look(_: object = None) -> None:
        if not looked_at.done():
            looked_at.set_result(None)

    task.add_done_callback(look)
    timer = None if math.isinf(limit) else loop.call_later(limit, look)
    try:
        await looked_at
    finally:
        if timer is not None:
            timer.cancel()
    return task.done()


async def _stopped(
    cell: _Cell[Any], task: asyncio.Task[Any], on_stop: Callable[[bool], None], grace: float
) -> BaseException | None:
    """Stop the task; return what its coroutine raised, or None where it had to be given up."""
    on_stop(False)
    with anyio.CancelScope(shield=True):
        cell.scope.cancel()
        await asyncio.wait({task}, timeout=grace)
        if not task.done():
            on_stop(True)
            cell.give_up()
            task.cancel()
            await asyncio.wait({task}, timeout=_CLOSING_SECONDS)
            return None
    ended = task.result()
    return ended.error if isinstance(ended, Raised) else TimeoutError("it returned after it was cancelled")


class _Cell(Generic[T]):
    """What runs in the task: the coroutine, step by step, within a scope that the host can cancel."""

    def __init__(self, work: Coroutine[Any, Any, T]) -> None:
        self.scope = anyio.CancelScope()
        self._work = work
        self._given_up = False

    def give_up(self) -> None:
        """Have the coroutine closed as soon as the task is cancelled next."""
        self._given_up = True

    async def run(self) -> Returned[T] | Raised:
        """Return how the coroutine ended. Raises nothing that asyncio would end the loop for, but a real Ctrl-C."""
        try:
            with self.scope:
                try:
                    return Returned(await self)
                except asyncio.CancelledError as error:
                    # The scope takes it back; its traceback says where the coroutine was.
                    stopped = error
                    raise
            return Raised(stopped)
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as error:  # noqa: BLE001  (all that a plugin raises is its attempt's, and told as such)
            return Raised(error)

    def __await__(self) -> Generator[Any, Any, T]:
        """Pass on what the coroutine waits for and what comes of it, but for cancellations that come too often."""
        pause: float | None = None
        step: Callable[[], Any] = partial(self._work.send, None)
        while True:
            try:
                waits_for = step()
            except StopIteration as done:
                result: T = done.value
                return result
            try:
                step = partial(self._work.send, (yield waits_for))
            except asyncio.CancelledError as cancelled:
                try:
                    if pause is not None and not self._given_up:
                        yield from _shielded_sleep(pause).__await__()
                finally:
                    if self._given_up:
                        self._close()
                if self._given_up:
                    raise
                pause = _REPEAT_SECONDS[0] if pause is None else min(2 * pause, _REPEAT_SECONDS[1])
                step = partial(self._work.throw, cancelled)
            except GeneratorExit:
                self._work.close()
                raise
            except BaseException as error:  # noqa: BLE001  (it is the coroutine's to handle)
                step = partial(self._work.throw, error)

    def _close(self) -> None:
        # It is given up already, and told: nothing that it raises or waits for counts any more.
        with suppress(BaseException):
            self._work.close()


async def _shielded_sleep(seconds: float) -> None:
    with anyio.CancelScope(shield=True):
        await anyio.sleep(seconds)
