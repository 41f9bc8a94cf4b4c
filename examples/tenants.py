"""Tenants that take turns: one who asks for many pictures does not stop one who asks for one.

Run it, with as many workers as you like:

    export JOBKIT_PLUGINS=tenants
    jobkit worker picture --concurrency 2 &
    python tenants.py
"""

from __future__ import annotations

import asyncio

from jobkit import Context, Payload, connect, processor


class Picture(Payload):
    """What the job is given."""

    customer: str
    number: int


# Of each customer four are in the queue or run at a time, and the others wait for one of these to end.
@processor("picture", key=lambda job: f"{job.customer}-{job.number}", tenant=lambda job: job.customer, places=4)
async def picture(job: Picture, ctx: Context) -> str:
    """Draw a picture."""
    await ctx.progress(0.5, "drawing")
    await asyncio.sleep(0.05)
    return f"{job.customer} {job.number}"


async def main() -> None:
    """Ask for many pictures for one customer, then for one for another, and see when that is begun."""
    async with connect() as client:
        pictures = [Picture(customer="large", number=number) for number in range(40)]
        many = await client.submit_many([client.job("picture", one) for one in pictures])
        print(f"{sum(job.waits for job in many)} of {len(many)} wait for a place")
        one = await picture.submit(client, Picture(customer="small", number=1))
        await one.result(timeout=60)
        began = (await client.status(one.id)).started_at or 0.0
        before = 0
        for job in many:
            async for record in client.watch(job.id, timeout=60):
                pass
            before += (record.started_at or 0.0) < began
        print(f"the small one was {'among the first' if before < len(many) / 2 else 'one of the last'}")


if __name__ == "__main__":
    asyncio.run(main())
