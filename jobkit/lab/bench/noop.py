"""The job types that `jobkit bench` runs."""

from __future__ import annotations

from jobkit.plugin.context import Context
from jobkit.plugin.payload import Payload
from jobkit.plugin.processor import processor

TYPE = "bench.noop"
TIMED_TYPE = "bench.timed"


class Noop(Payload):
    """A job that does nothing, on the key it names."""

    on: str


@processor(TYPE, key=lambda job: job.on, ordered=True)
async def noop(job: Noop, ctx: Context) -> None:
    """Do nothing, in the order of the key."""


@processor(TIMED_TYPE, key=lambda job: job.on)
async def timed(_job: Noop, ctx: Context) -> float:
    """Return the Unix time at which the job began."""
    return ctx.clock.wall()
