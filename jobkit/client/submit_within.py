"""A submit within the middleware that this process has around it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from jobkit.plugin.middleware import AroundSubmit
from jobkit.ports.store import NewJob

T = TypeVar("T")


async def submit_within(
    around: Sequence[AroundSubmit], jobs: Sequence[NewJob], accept: Callable[[], Awaitable[T]]
) -> T:
    """Return what `accept` returns, called within `around`, the first outermost.

    Raises what the middleware raises, and `RuntimeError` where one calls it twice, or neither calls it nor raises.
    """
    accepted: list[T] = []

    async def within(depth: int) -> None:
        if depth == len(around):
            if accepted:
                raise RuntimeError("middleware awaits call_next() again: what is submitted is submitted once")
            accepted.append(await accept())
            return
        await around[depth].function(jobs, lambda: within(depth + 1))

    await within(0)
    if not accepted:
        names = ", ".join(one.name for one in around)
        raise RuntimeError(f"nothing was submitted: middleware ({names}) neither awaited call_next() nor raised")
    return accepted[0]
