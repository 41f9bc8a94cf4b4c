"""A job type that commits files as they are, as a transcoder would."""

from __future__ import annotations

import shutil

from jobkit import Context, Payload, processor


class Film(Payload):
    """Which files, and where they are."""

    title: str
    folder: str
    files: list[str]


@processor("film", key=lambda job: job.title)
async def film(job: Film, ctx: Context) -> None:
    """Commit every file of it."""
    for name in job.files:
        async with ctx.blobs.create(name) as path:
            shutil.copyfile(f"{job.folder}/{name}", path)
