"""jobkit: a lease, a fence, a verified durable commit and an outbox for each job."""

from __future__ import annotations

import asyncio

from benchmarks.job import JOBS, work
from jobkit import Context, Payload, processor
from jobkit.client.connect import connect

TYPE = "benchmarks.job"
_BATCH = 500


class Number(Payload):
    """Which job it is; each is on a key of its own."""

    number: int


@processor(TYPE, key=lambda job: str(job.number))
async def job(_job: Number, _ctx: Context) -> None:
    """Do one job."""
    await work()


async def _publish() -> None:
    async with connect() as client:
        for start in range(0, JOBS, _BATCH):
            numbers = range(start, min(start + _BATCH, JOBS))
            await client.submit_many([client.job(TYPE, {"number": number}) for number in numbers])


if __name__ == "__main__":
    asyncio.run(_publish())
