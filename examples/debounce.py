"""Many requests for one thing, and one job: it runs once nobody has changed anything for a while.

Run it, with a worker in another terminal:

    export JOBKIT_PLUGINS=debounce
    jobkit worker summary &
    python debounce.py
"""

from __future__ import annotations

import asyncio
from datetime import timedelta

from jobkit import Client, Context, Payload, connect, processor

QUIET = timedelta(seconds=1)


class Summary(Payload):
    """What the job is given."""

    account: str
    change: int


@processor("summary", key=lambda job: job.account)
async def summary(job: Summary, ctx: Context) -> int:
    """Sum up all that has changed by now."""
    await ctx.progress(0.5, "reading")
    return job.change


async def changed(client: Client, account: str, change: int) -> str:
    """Ask for a summary a second from now, in place of the one that waits already."""
    submission = await client.submit(
        "summary",
        Summary(account=account, change=change),
        after=QUIET,
        unique=f"summary:{account}",
        on_conflict="replace",
    )
    return submission.id


async def main() -> None:
    """Change two accounts ten times each, and wait for their summaries."""
    async with connect() as client:
        ids = [[await changed(client, account, change) for change in range(10)] for account in ("acme", "umbrella")]
        for account in ids:
            async for job in client.watch(account[-1], timeout=60):
                last = job
            earlier = {(await client.status(id)).reason for id in account[:-1]}
            print(f"summed up to change {(last.result or b'').decode()}, {len(earlier)} earlier requests were replaced")


if __name__ == "__main__":
    asyncio.run(main())
