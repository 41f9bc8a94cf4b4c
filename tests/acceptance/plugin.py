"""Job types for the acceptance tests; worker processes load them through JOBKIT_PLUGINS."""

from __future__ import annotations

import anyio

from jobkit import Context, Payload, Result, processor


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


class Reached(Result):
    """How many of a hundred rounds are done."""

    rounds: int


async def prepare(ctx: Context) -> str:
    """Write a file, and return who did."""
    async with ctx.blobs.create("prepared") as path:
        await anyio.Path(path).write_text(ctx.fence.owner)
    return ctx.fence.owner


@processor("test.resuming", key=lambda job: job.on)
async def resuming(job: Step, ctx: Context) -> list[str]:
    """Do a hundred rounds; who begins with the first stops after ninety. Return who prepared, and who did the rest."""
    found = await ctx.resume(Reached)
    prepared_by = await ctx.step("prepare", prepare, ctx)
    for done in range(found.rounds if found else 0, 100):
        ctx.append("round", {"number": done})
        await ctx.checkpoint(Reached(rounds=done + 1))
        if found is None and done + 1 == 90:
            await ctx.progress(0.9)
            await anyio.sleep_forever()
    return [prepared_by, ctx.fence.owner]
