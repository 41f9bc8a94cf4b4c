"""Group commit: what is asked for at the same time goes to the server as one statement and shares one fsync.

It keeps each call's atomicity: where the group as a whole fails for a reason that may lie with one of its calls, the
server has rolled all of it back, and each call is sent once more by itself. One that finds a lock held by somebody else
then waits for it outside of the lanes, so that it holds nobody up.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

from jobkit.backends.postgres.faults import is_about_connection, is_held_up, is_out_of_reach
from jobkit.model.side_by_side import side_by_side

C = TypeVar("C")
A = TypeVar("A")


@dataclass(eq=False, slots=True)
class _Asked(Generic[C, A]):
    call: C
    answer: asyncio.Future[A]


class Group(Generic[C, A]):
    """Calls of one kind.

    `send` takes calls to their answers, in one transaction; `wait` does so where that may take long. At most `lanes`
    groups are on their way at a time, and what is asked for meanwhile makes up the next one. Calls with an equal
    `apart` never share a group; the sizes of those that do add up to no more than `largest`, but for one that is larger
    by itself. Where the server is out of reach, those that wait are told so too.
    """

    def __init__(
        self,
        send: Callable[[Sequence[C]], Awaitable[Sequence[A]]],
        *,
        wait: Callable[[Sequence[C]], Awaitable[Sequence[A]]],
        explain: Callable[[Exception], Exception],
        apart: Callable[[C], Hashable],
        lanes: int,
        largest: int,
        size: Callable[[C], int] = lambda _: 1,
    ) -> None:
        self._send = send
        self._wait = wait
        self._explain = explain
        self._apart = apart
        self._lanes = lanes
        self._largest = largest
        self._size = size
        self._waiting: deque[_Asked[C, A]] = deque()
        self._leaving = False
        self._under_way: set[asyncio.Task[None]] = set()
        self._held_up: set[asyncio.Task[None]] = set()

    async def ask(self, call: C) -> A:
        """Return the answer to `call`. A caller that is cancelled leaves it open whether the call happens."""
        asked: _Asked[C, A] = _Asked(call, asyncio.get_running_loop().create_future())
        self._waiting.append(asked)
        self._leave_soon()
        return await asked.answer

    async def aclose(self) -> None:
        """Wait for the groups under way; what still waits is sent too, and fails where that is no longer possible."""
        while self._under_way or self._waiting or self._held_up:
            self._leave()
            if self._under_way or self._held_up:
                await asyncio.wait(self._under_way | self._held_up)

    def _leave_soon(self) -> None:
        if not self._leaving and len(self._under_way) < self._lanes:
            self._leaving = True
            # Not at once: what other tasks ask for in this turn of the loop comes along.
            asyncio.get_running_loop().call_soon(self._leave)

    def _leave(self) -> None:
        self._leaving = False
        group = self._next()
        if group:
            carrying = asyncio.create_task(self._carry(group))
            self._under_way.add(carrying)
            carrying.add_done_callback(self._arrived)
            if self._waiting:
                self._leave_soon()

    def _next(self) -> list[_Asked[C, A]]:
        group: list[_Asked[C, A]] = []
        later: list[_Asked[C, A]] = []
        taken: set[Hashable] = set()
        room = self._largest
        while self._waiting and room > 0:
            asked = self._waiting.popleft()
            if asked.answer.done():
                continue
            apart = self._apart(asked.call)
            size = self._size(asked.call)
            if apart in taken or (group and size > room):
                later.append(asked)
            else:
                group.append(asked)
                room -= size
            taken.add(apart)
        self._waiting.extendleft(reversed(later))
        return group

    def _arrived(self, carrying: asyncio.Task[None]) -> None:
        self._under_way.discard(carrying)
        if self._waiting:
            self._leave_soon()

    async def _carry(self, group: Sequence[_Asked[C, A]], *, waiting: bool = False) -> None:
        try:
            answers = await (self._wait if waiting else self._send)([asked.call for asked in group])
        except Exception as error:  # noqa: BLE001  (it goes to the callers)
            if len(group) > 1 and not is_about_connection(error):
                await side_by_side(partial(self._carry, [asked]) for asked in group)
                return
            if is_held_up(error) and not waiting:
                held_up = asyncio.create_task(self._carry(group, waiting=True))
                self._held_up.add(held_up)
                held_up.add_done_callback(self._held_up.discard)
                return
            self._fail(group, error)
            if is_out_of_reach(error):
                # Else what waits would wait for one time limit after another.
                others = list(self._waiting)
                self._waiting.clear()
                self._fail(others, error)
            return
        for asked, answer in zip(group, answers, strict=True):
            # A caller that was cancelled has nobody left to tell.
            if not asked.answer.done():
                asked.answer.set_result(answer)

    def _fail(self, calls: Sequence[_Asked[C, A]], error: Exception) -> None:
        for asked in calls:
            if not asked.answer.done():
                asked.answer.set_exception(self._explain(error))
