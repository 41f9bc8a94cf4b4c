"""Several calls at the same time, cancelled as one.

Not `asyncio.gather`: where it is cancelled and the last call ends well all the same, it raises a `CancelledError` that
no cancel scope of anyio's knows for its own. It goes through all of them, and ends whoever is outermost.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

import anyio

T = TypeVar("T")


async def outcomes(calls: Iterable[Callable[[], Awaitable[T]]]) -> list[T | Exception]:
    """Return what each call returns or raises, in order, once none is under way any more."""
    found: dict[int, T | Exception] = {}

    async def run(place: int, call: Callable[[], Awaitable[T]]) -> None:
        try:
            found[place] = await call()
        except Exception as error:  # noqa: BLE001  (it is the caller's to raise)
            found[place] = error

    async with anyio.create_task_group() as group:
        for place, call in enumerate(calls):
            group.start_soon(run, place, call)
    return [found[place] for place in sorted(found)]


async def side_by_side(calls: Iterable[Callable[[], Awaitable[T]]]) -> list[T]:
    """Return what each call returns, in order, once none is under way any more. Raises the first error of theirs."""
    returned: list[T] = []
    for outcome in await outcomes(calls):
        if isinstance(outcome, Exception):
            raise outcome
        returned.append(outcome)
    return returned
