"""Limits that hold over all workers: how many calls of a tenant run at once, and how many begin in a second.

Run it, with as many workers as you like:

    export JOBKIT_PLUGINS=limits
    jobkit worker call &
    jobkit worker call &
    python limits.py
    jobkit limits
"""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from itertools import pairwise

from jobkit import Concurrency, Context, Payload, Rate, Result, connect, processor


class Call(Payload):
    """What the job is given."""

    number: int
    tenant: str


class Called(Result):
    """When it ran, on the machine's clock."""

    tenant: str
    began: float
    ended: float


LIMITS = (Concurrency("tenant", 1, key=lambda job: job.tenant), Rate("calls", 4, per=timedelta(seconds=1)))


@processor("call", key=lambda job: f"{job.tenant}-{job.number}", limits=LIMITS)
async def call(job: Call, ctx: Context) -> Called:
    """Call a service that takes one call of each tenant at a time, and four in a second."""
    began = time.time()
    await ctx.progress(0.5, "calling")
    await asyncio.sleep(0.1)
    return Called(tenant=job.tenant, began=began, ended=time.time())


async def main() -> None:
    """Submit many calls of one tenant, then one of another, which does not wait for them."""
    async with connect() as client:
        calls = [Call(number=number, tenant="large") for number in range(6)] + [Call(number=1, tenant="small")]
        ids = [job.id for job in await client.submit_many([client.job("call", one) for one in calls])]
        done = []
        for id in ids:
            async for job in client.watch(id, timeout=60):
                pass
            done.append(Called.model_validate_json(job.result or b""))
    large = sorted((one for one in done if one.tenant == "large"), key=lambda one: one.began)
    at_once = any(later.began < first.ended for first, later in pairwise(large))
    print(f"{len(done)} calls, two of one tenant at once: {'yes' if at_once else 'no'}")


if __name__ == "__main__":
    asyncio.run(main())
