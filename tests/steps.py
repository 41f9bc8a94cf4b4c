"""Job types that several tests use. What they did is read from the log of their key."""

from __future__ import annotations

from jobkit import Context, Payload, processor


class Step(Payload):
    """One step of a key; takes `seconds`."""

    on: str = "k"
    number: int = 1
    seconds: float = 0.0


@processor("step", key=lambda job: job.on, ordered=True)
async def step(job: Step, ctx: Context) -> int:
    """An ordered step."""
    if job.seconds:
        await ctx.clock.sleep(job.seconds)
    ctx.append("step", {"number": job.number})
    return job.number


@processor("loose", key=lambda job: job.on)
async def loose(job: Step, ctx: Context) -> int:
    """A step without an order."""
    if job.seconds:
        await ctx.clock.sleep(job.seconds)
    ctx.append("loose", {"number": job.number})
    return job.number
