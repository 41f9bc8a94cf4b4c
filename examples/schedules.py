"""Jobs by the calendar: one schedule that stands beside its processor, and one that is added while workers run.

Run it:

    export JOBKIT_PLUGINS=schedules
    jobkit worker nightly &
    python schedules.py
"""

from __future__ import annotations

import asyncio

from jobkit import Context, Payload, connect, processor, schedule


class Report(Payload):
    """What the job is given."""

    of: str


@processor("nightly", key=lambda job: job.of)
async def nightly(job: Report, ctx: Context) -> str:
    """Make the report."""
    ctx.append("made", job)
    return f"the report of {job.of}"


# Workers find it here. The job of a tick is called like `sales@2026-03-29T01:00:00Z`, so it is made once.
sales = schedule("sales", cron="0 3 * * *", zone="Europe/Berlin", job=Report(of="sales"))


async def main() -> None:
    """Add another schedule while workers run, and do not wait for its evening."""
    async with connect() as client:
        await client.schedules.add("purchases", "nightly", Report(of="purchases"), cron="0 18 * * mon-fri")
        id = await client.schedules.trigger("purchases")
        async for job in client.watch(id, timeout=60):
            pass
        print(job.state, (job.result or b"").decode())
        await client.schedules.remove("purchases")


if __name__ == "__main__":
    asyncio.run(main())
