"""Around jobs: middleware that times attempts and may refuse submits, and a hook that hears of the dead.

Run it:

    export JOBKIT_PLUGINS=around JOBKIT_MIDDLEWARE=around
    jobkit worker divide &
    python around.py
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from jobkit import Context, DeadEvent, Payload, Reject, around_attempt, around_submit, connect, hook, processor


class Divide(Payload):
    """A division."""

    number: int
    by: int


@processor("divide", key=lambda job: f"{job.number}:{job.by}")
async def divide(job: Divide, ctx: Context) -> int:
    """Divide."""
    ctx.log.debug("dividing")
    return job.number // job.by


@around_attempt
async def timed(job: Payload, ctx: Context, call_next: Callable[[], Awaitable[Any]]) -> Any:
    """Record how long the attempt took, in its own commit; an error that means "never" becomes a rejection."""
    began = time.monotonic()
    try:
        result = await call_next()
    except ZeroDivisionError as error:
        raise Reject("nobody can divide by zero") from error
    ctx.record("timed", {"job": job.model_dump(), "seconds": round(time.monotonic() - began, 3)})
    return result


@around_submit
async def by_day(jobs: Sequence[Any], call_next: Callable[[], Awaitable[None]]) -> None:
    """Refuse what is submitted while we are closed: what this raises, `client.submit` raises."""
    if "CLOSED" in os.environ:
        raise PermissionError(f"{len(jobs)} refused: we are closed")
    await call_next()


@hook
async def tell(event: DeadEvent) -> None:
    """Write it down, after the store has it."""
    await asyncio.to_thread(Path("dead.txt").write_text, f"{event.job.key}: {event.reason}\n")


async def main() -> None:
    """Submit two jobs, of which one dies."""
    async with connect() as client:
        for by in (2, 0):
            submitted = await client.submit("divide", Divide(number=6, by=by))
            async for job in client.watch(submitted.id, timeout=60):
                pass
            print(job.state, (job.result or b"").decode())


if __name__ == "__main__":
    asyncio.run(main())
