"""Blocking code: a `def` runs in a thread, or in a process of its own that can be killed and has so much memory.

Run it:

    export JOBKIT_PLUGINS=blocking
    jobkit worker count &
    python blocking.py
"""

from __future__ import annotations

import asyncio
import os
from datetime import timedelta

from jobkit import Payload, Result, RetryPolicy, SyncContext, connect, processor


class Count(Payload):
    """Numbers to try, or more memory to take than there is."""

    upto: int
    megabytes: int = 0


class Counted(Result):
    """How many are prime, and whether another process found out."""

    primes: int
    worker: int


@processor(
    "count",
    key=lambda job: f"{job.upto}-{job.megabytes}",
    timeout=timedelta(minutes=1),
    retry=RetryPolicy(max_attempts=1),
    isolation="process",
    memory="1 GiB",
)
def count(job: Count, ctx: SyncContext) -> Counted:
    """Count primes: no `await`, no event loop to hold up, and an end when the attempt ends."""
    held = bytearray(job.megabytes * 2**20)
    primes = [number for number in range(2, job.upto) if all(number % by for by in range(2, int(number**0.5) + 1))]
    ctx.progress(0.9, f"{len(primes)} found")
    with ctx.blobs.create("primes.txt") as path:
        path.write_text("\n".join(map(str, primes)))
    ctx.log.info("counted", held=len(held))
    return Counted(primes=len(primes), worker=os.getppid())


async def main() -> None:
    """Count, then ask for more memory than a job may have: the job dies, and the worker does not."""
    async with connect() as client:
        for wanted in (Count(upto=1000), Count(upto=10, megabytes=2000)):
            submitted = await client.submit("count", wanted)
            async for job in client.watch(submitted.id, timeout=60):
                pass
            found = "" if job.result is None else Counted.model_validate_json(job.result).primes
            print(job.state, found, job.failures[-1].error.partition(":")[0] if job.failures else "")


if __name__ == "__main__":
    asyncio.run(main())
