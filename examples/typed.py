"""Results as their model: what `@processor` returns submits its own jobs, and hands out typed handles.

Run it:

    export JOBKIT_PLUGINS=typed
    jobkit worker stretch &
    python typed.py
"""

from __future__ import annotations

import asyncio

from jobkit import Context, Handle, Payload, Reject, Result, connect, processor
from jobkit.errors import JobDead


class Stretch(Payload):
    """A name to write, so many times."""

    name: str
    by: int


class Stretched(Result):
    """What came of it."""

    name: str
    length: int


@processor("stretch", key=lambda job: job.name)
async def stretch(job: Stretch, ctx: Context) -> Stretched:
    """Write a name several times."""
    if job.by < 1:
        raise Reject("nothing would be left")
    await ctx.progress(0.5, "half way")
    return Stretched(name=job.name * job.by, length=len(job.name) * job.by)


async def main() -> None:
    """Wait for several jobs, which asks no more of the store than to wait for one."""
    async with connect() as client:
        handles: list[Handle[Stretched]] = [
            await stretch.submit(client, Stretch(name=name, by=2)) for name in ("ann", "bob", "eve")
        ]
        results = await asyncio.gather(*(handle.result(timeout=60) for handle in handles))
        print(", ".join(result.name for result in results), sum(result.length for result in results))
        # A handle of any job, later and elsewhere.
        print((await client.handle(handles[0].id, stretch).result()).length)
        hopeless = await stretch.submit(client, Stretch(name="joe", by=0))
        try:
            await hopeless.result(timeout=60)
        except JobDead as error:
            print(error.reason, len(error.failures))
        # As a program does that does not have this file: checked against what the worker has published.
        submission = await client.submit("stretch", {"name": "zoe", "by": 3})
        print(await client.handle(submission.id).result(timeout=60))


if __name__ == "__main__":
    asyncio.run(main())
