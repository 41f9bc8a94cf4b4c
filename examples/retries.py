"""Retries: which errors are worth another attempt, how long to wait, and when to give up.

Run it:

    export JOBKIT_PLUGINS=retries
    jobkit worker fetch &
    python retries.py
    jobkit dead list
"""

from __future__ import annotations

import asyncio
from datetime import timedelta

from jobkit import Context, Payload, Reject, Retry, RetryPolicy, connect, processor


class Fetch(Payload):
    """What the job is given. The number of times that the page is down stands for a real server's bad day."""

    page: str
    down: int = 0


POLICY = RetryPolicy(max_attempts=4, initial=timedelta(milliseconds=100), on=(ConnectionError,))


@processor("fetch", key=lambda job: job.page, timeout=timedelta(minutes=1), retry=POLICY)
async def fetch(job: Fetch, ctx: Context) -> str:
    """Fetch a page. Anything but a ConnectionError or a Retry goes to the dead letters at once."""
    if not job.page.startswith("https://"):
        raise Reject("only https is fetched")  # No attempt can ever succeed.
    if ctx.job.attempt == 1 and job.down:
        raise Retry("the server asked us to wait", after=timedelta(milliseconds=50))
    if ctx.job.attempt <= job.down:
        raise ConnectionError("the server is down")
    return f"fetched in attempt {ctx.job.attempt}"


async def main() -> None:
    """Submit a job that succeeds in its third attempt, and one that never can."""
    async with connect() as client:
        for payload in (Fetch(page="https://example.org/", down=2), Fetch(page="ftp://example.org/")):
            submission = await client.submit("fetch", payload)
            async for job in client.watch(submission.id, timeout=60):
                pass
            print(job.state, (job.result or b"").decode())
            for failure in job.failures:
                print(f"  attempt {failure.attempt}: {failure.error}")


if __name__ == "__main__":
    asyncio.run(main())
