"""The job type that `jobkit bench` runs."""

from __future__ import annotations

from jobkit.context import Context
from jobkit.payload import Payload
from jobkit.processor import processor

TYPE = "bench.noop"


class Noop(Payload):
    """A job that does nothing, on the key it names."""

    on: str


@processor(TYPE, key=lambda job: job.on)
async def noop(job: Noop, ctx: Context) -> None:
    """Do nothing."""
