"""Steps and checkpoints: a job that is interrupted goes on where it was, not from zero.

Run it:

    export JOBKIT_PLUGINS=steps
    jobkit worker album &
    python steps.py
"""

from __future__ import annotations

import asyncio

from jobkit import Context, Payload, Result, Retry, connect, processor


class Album(Payload):
    """What the job is given."""

    title: str
    photos: int


class Reached(Result):
    """The job's checkpoint: how many photos are in."""

    photos: int = 0


async def write_cover(ctx: Context, title: str) -> int:
    """A step: it runs once, and its file is committed by whichever attempt ends the job."""
    ctx.log.info("cover written")
    async with ctx.blobs.create("cover.txt") as path:
        return path.write_text(f"*** {title} ***")


@processor("album", key=lambda job: job.title)
async def album(job: Album, ctx: Context) -> str:
    """Write a cover, then take in one photo after another; the first attempt comes to grief on the way."""
    size = await ctx.step("cover", write_cover, ctx, job.title)
    begun = await ctx.resume(Reached) or Reached()
    for number in range(begun.photos, job.photos):
        await ctx.checkpoint(Reached(photos=number + 1))
        if ctx.job.attempt == 1 and number + 1 == 9:
            raise Retry("the camera went away")
    return f"{job.photos - begun.photos} of {job.photos} photos by the last attempt, a cover of {size} letters"


async def main() -> None:
    """Submit a job and print what it came to."""
    async with connect() as client:
        submission = await client.submit("album", Album(title="Summer", photos=10))
        records = [job async for job in client.watch(submission.id, timeout=60)]
        print((records[-1].result or b"").decode())
        print((await (await client.files("album", "Summer")).read("cover.txt")).decode())


if __name__ == "__main__":
    asyncio.run(main())
