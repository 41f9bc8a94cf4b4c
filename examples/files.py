"""Files: what a job writes becomes visible with its commit, as a whole, or never; then anybody can read it.

Run it:

    export JOBKIT_PLUGINS=files
    jobkit worker report &
    python files.py
    jobkit files list report ann
"""

from __future__ import annotations

import asyncio
import csv
from pathlib import Path

import anyio.to_thread

from jobkit import Context, Payload, Result, connect, processor


class Report(Payload):
    """What the job is given."""

    account: str
    months: list[str]


class Reported(Result):
    """What the job returns: the names of the files it wrote."""

    files: list[str]


def write_csv(path: Path, months: list[str]) -> None:
    """Write a table; this blocks, so it runs in a thread."""
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["month"], *([month] for month in months)])


@processor("report", key=lambda job: job.account)
async def report(job: Report, ctx: Context) -> Reported:
    """Write a table, and a folder with a page for each month."""
    async with ctx.blobs.create("report.csv") as path:  # private until the job commits
        await anyio.to_thread.run_sync(write_csv, path, job.months)
    async with ctx.blobs.directory("pages") as folder:  # every file in it becomes a blob "pages/..."
        for month in job.months:
            await anyio.Path(folder / f"{month}.txt").write_text(f"{job.account} in {month}\n")
    ctx.append("reported", {"months": job.months})
    return Reported(files=["report.csv", *(f"pages/{month}.txt" for month in job.months)])


async def main() -> None:
    """Submit a job, wait for its end, print what it committed, and read a file of it."""
    async with connect() as client:
        submission = await client.submit("report", Report(account="ann", months=["2026-01", "2026-02"]))
        _ = [job async for job in client.watch(submission.id, timeout=60)]
        for file in await client.files("report", "ann"):
            print(f"{file.name} {file.size} bytes")
        async with client.open("report", "ann", "pages/2026-02.txt") as page:
            print((await page.read()).decode().strip())


if __name__ == "__main__":
    asyncio.run(main())
