"""Follow-up jobs: they are submitted if, and only if, the job that asks for them commits.

Run it:

    export JOBKIT_PLUGINS=follow_ups
    jobkit worker order receipt &
    python follow_ups.py
"""

from __future__ import annotations

import asyncio
import json

from jobkit import Context, Payload, connect, processor


class Order(Payload):
    """What an order is given."""

    number: int
    email: str


class Receipt(Payload):
    """What a receipt is given."""

    order: int
    email: str


@processor("order", key=lambda job: str(job.number))
async def order(job: Order, ctx: Context) -> str:
    """Take an order, and have a receipt sent for it. Returns the receipt's job id."""
    ctx.append("ordered", {"number": job.number})
    return ctx.submit("receipt", Receipt(order=job.number, email=job.email))


@processor("receipt", key=lambda job: job.email)
async def receipt(job: Receipt, ctx: Context) -> str:
    """Send one e-mail and do nothing else, so that little is repeated when it has to run again."""
    # A mail service is not fenced: the job's id tells it that this is the same e-mail as before.
    ctx.log.info("sending", order=job.order, idempotency_key=ctx.job.id)
    return f"receipt for order {job.order} sent to {job.email}"


async def main() -> None:
    """Submit an order, then wait for its receipt."""
    async with connect() as client:
        # With an id of its own an order can be submitted again after a crash: the second time changes nothing.
        submission = await client.submit("order", Order(number=7, email="ann@example.org"), id="order-7")
        async for job in client.watch(submission.id, timeout=60):
            pass
        receipt_id = json.loads(job.result or b"null")
        async for job in client.watch(receipt_id, timeout=60):
            pass
        print(json.loads(job.result or b"null"))


if __name__ == "__main__":
    asyncio.run(main())
