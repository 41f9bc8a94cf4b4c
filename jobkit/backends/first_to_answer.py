"""Several places where a server may be, tried side by side, so that one that does not answer holds nobody up.

What RFC 8305 ("Happy Eyeballs", section 5) does for the addresses of one name, for whole attempts: one that gets a
connection but no answer counts as one that gets none. It is for the hosts of a URL as well.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

T = TypeVar("T")

# How long an attempt has to itself before the next one begins; the RFC's own recommendation.
STAGGER_SECONDS = 0.25


class NoneAnswered(Exception):
    """Every attempt failed: `errors` has what each one met, in the order of the attempts."""

    def __init__(self, errors: Sequence[Exception]) -> None:
        super().__init__("; ".join(str(error) or type(error).__name__ for error in errors))
        self.errors = tuple(errors)


async def first_to_answer(
    attempts: Sequence[Callable[[], Awaitable[T]]],
    discard: Callable[[T], object],
    *,
    stagger: float = STAGGER_SECONDS,
) -> T:
    """Return the first result of `attempts`, each begun `stagger` seconds after the one before, or once that failed.

    Those that are left are cancelled, and waited for; a result that comes too late goes to `discard`. The attempts see
    to their own time limits. Raises `NoneAnswered`.
    """
    to_begin = deque(enumerate(attempts))
    under_way: dict[asyncio.Task[T], int] = {}
    errors: dict[int, Exception] = {}
    try:
        while to_begin or under_way:
            if to_begin:
                place, attempt = to_begin.popleft()
                under_way[asyncio.create_task(_awaited(attempt))] = place
            done, _ = await asyncio.wait(
                under_way, timeout=stagger if to_begin else None, return_when=asyncio.FIRST_COMPLETED
            )
            for task in done:
                place = under_way.pop(task)
                error = asyncio.CancelledError("the attempt was cancelled") if task.cancelled() else task.exception()
                if error is None:
                    return task.result()
                errors[place] = error if isinstance(error, Exception) else ConnectionError(str(error))
    finally:
        for task in under_way:
            task.cancel()
            task.add_done_callback(lambda late: late.cancelled() or late.exception() or discard(late.result()))
        if under_way:
            await asyncio.wait(under_way)
    raise NoneAnswered([errors[place] for place in sorted(errors)])


async def _awaited(attempt: Callable[[], Awaitable[T]]) -> T:
    return await attempt()
