"""A plugin, as its first version is."""

from __future__ import annotations

from jobkit import Context, Payload, processor


class Bill(Payload):
    """Cents that somebody owes."""

    to: str
    cents: int


@processor("test.bill", key=lambda job: job.to, ordered=True)
async def bill(job: Bill, ctx: Context) -> str:
    """Say which version wrote the bill."""
    ctx.append("billed", {"by": 1, "amount": f"{job.cents / 100:.2f}"})
    return "1"
