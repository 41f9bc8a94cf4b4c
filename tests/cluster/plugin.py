"""A job that takes its time and notes each of its starts; worker processes load it through JOBKIT_PLUGINS."""

from __future__ import annotations

import os
from pathlib import Path

import anyio

from jobkit import Context, Payload, processor

TYPE = "cluster.slow"


class Slow(Payload):
    """A job that takes so many `seconds`, and appends a line to a file when it starts."""

    on: str
    seconds: float
    starts: Path


@processor(TYPE, key=lambda job: job.on, ordered=True)
async def slow(job: Slow, ctx: Context) -> None:
    """Note the start, and take so long."""
    with job.starts.open("a") as starts:
        starts.write(f"{job.on} {os.getpid()}\n")
    await anyio.sleep(job.seconds)
    ctx.append("done", {"by": os.getpid()})
