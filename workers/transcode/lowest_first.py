"""The lowest rendition is to be seen before the others are made: a job of its own makes it, for the same video.

It commits a whole package, checked like any other, of which the job that makes all renditions later replaces every
file at once. A video that has files keeps those meanwhile: nobody who watches it is to see less than before.
"""

from __future__ import annotations

from jobkit import Context, Reject
from workers.transcode import progress
from workers.transcode.payload import Transcode


async def lowest_first(ctx: Context, job: Transcode) -> Transcode | None:
    """Return the job that makes the lowest rendition of a video; None where none is wanted, or it has files."""
    if not job.early or await ctx.files():
        return None
    return job.model_copy(update={"early": False, "lowest": True, "storyboard": False})


async def await_lowest(ctx: Context, lowest: Transcode) -> None:
    """End this attempt until the lowest rendition is there, or has failed; a later attempt passes this call."""
    await ctx.await_group(
        [lowest], on_failure="run", until=progress.PROBE.end, message="making the lowest rendition first"
    )


async def has_awaited(ctx: Context) -> bool:
    """Return whether a job has waited for its lowest rendition: it waits once, and so can wait for no chunks."""
    async for _ in ctx.members():
        return True
    return False


async def require_no_files(ctx: Context, job: Transcode) -> None:
    """Raise `Reject` where the lowest rendition alone would take the place of what a video has."""
    if job.lowest and await ctx.files():
        raise Reject(f"video {job.video_id!r} has files already, which its lowest rendition alone would replace")
