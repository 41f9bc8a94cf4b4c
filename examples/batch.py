"""Many jobs at once, with ids of your own: accepted together, and safe to submit again.

Run it:

    export JOBKIT_PLUGINS=batch
    jobkit worker square &
    python batch.py
"""

from __future__ import annotations

import asyncio

from jobkit import Context, Payload, connect, processor


class Square(Payload):
    """What the job is given."""

    number: int


@processor("square", key=lambda job: str(job.number))
async def square(job: Square, ctx: Context) -> int:
    """Square a number."""
    ctx.append("squared", job)
    return job.number**2


async def main() -> None:
    """Submit a hundred jobs twice, and print how many were new each time, and the sum of the results."""
    async with connect() as client:
        jobs = [client.job("square", Square(number=number), id=f"square-{number}") for number in range(100)]
        for _ in range(2):
            submissions = await client.submit_many(jobs)
            print(sum(not submission.known for submission in submissions), "accepted")
        total = 0
        for submission in submissions:
            async for job in client.watch(submission.id, timeout=60):
                pass
            total += int(job.result or b"0")
        print("sum:", total)


if __name__ == "__main__":
    asyncio.run(main())
