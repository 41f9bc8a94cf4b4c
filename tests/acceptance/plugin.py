"""Job types for the acceptance tests; worker processes load them through JOBKIT_PLUGINS."""

from __future__ import annotations

import anyio

from jobkit import Context, Payload, processor


class Step(Payload):
    """One step of a key."""

    on: str
    number: int
    seconds: float = 0.0


@processor("test.step", key=lambda job: job.on, ordered=True)
async def step(job: Step, ctx: Context) -> int:
    """Work a while, then leave a trace in the key's log."""
    await anyio.sleep(job.seconds)
    ctx.append("step", {"number": job.number})
    return job.number


@processor("test.slow", key=lambda job: job.on)
async def slow(job: Step, ctx: Context) -> str:
    """Work a long while, reporting progress often; return who did it."""
    rounds = 100
    for number in range(rounds):
        await anyio.sleep(job.seconds / rounds)
        await ctx.progress(number / rounds)
    ctx.append("slow", {"owner": ctx.fence.owner})
    return ctx.fence.owner


@processor("test.urgent", key=lambda job: f"{job.on}-{job.number}", priority="normal")
async def urgent(job: Step, ctx: Context) -> None:
    """Take a while; some jobs are more urgent than others."""
    await ctx.clock.sleep(job.seconds)
