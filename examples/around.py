"""Around jobs: middleware that notes attempts and may refuse submits, and a hook that hears of the dead.

Run it:

    export JOBKIT_PLUGINS=around JOBKIT_MIDDLEWARE=around
    jobkit worker divide &
    python around.py
"""

import os
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import anyio

from jobkit import Context, DeadEvent, Payload, Reject, around_attempt, around_submit, connect, hook, processor


class Divide(Payload):
    """A division: the first number by the second."""

    numbers: tuple[int, int]


@processor("divide", key=lambda job: f"{job.numbers[0]}:{job.numbers[1]}")
async def divide(job: Divide, ctx: Context) -> int:
    """Divide."""
    await ctx.progress(0.5, "dividing")
    return job.numbers[0] // job.numbers[1]


@around_attempt
async def noted(job: Payload, ctx: Context, call_next: Callable[[], Awaitable[Any]]) -> Any:
    """Note what was asked for, in the job's own commit; an error that means "never" becomes a rejection."""
    ctx.record("asked for", job)
    try:
        return await call_next()
    except ZeroDivisionError as error:
        raise Reject("nobody can divide by zero") from error


@around_submit
async def when_open(jobs: Sequence[Any], call_next: Callable[[], Awaitable[None]]) -> None:
    """Refuse what is submitted while we are closed: what this raises, `client.submit` raises."""
    if "CLOSED" in os.environ:
        raise PermissionError(f"{len(jobs)} refused: we are closed")
    await call_next()


@hook
async def tell(event: DeadEvent) -> None:
    """Write it down, after the store has it."""
    await anyio.Path("dead.txt").write_text(f"{event.job.key}: {event.reason}\n")


async def main() -> None:
    """Submit a job that dies."""
    async with connect() as client:
        submitted = await client.submit("divide", Divide(numbers=(6, 0)))
        print([job.state async for job in client.watch(submitted.id, timeout=60)][-1])


if __name__ == "__main__":
    anyio.run(main)
