"""Versions: the payload's model has changed, and jobs of before still come.

Run it:

    export JOBKIT_PLUGINS=versions
    jobkit worker invoice &
    python versions.py
"""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

from jobkit import Context, Payload, connect, processor


class Invoice(Payload):
    """What the job is given. In version 1 it had `cents`."""

    customer: str
    amount: Decimal


@processor("invoice", key=lambda job: job.customer, version=2)
async def invoice(job: Invoice, ctx: Context) -> str:
    """Tell what is to be paid."""
    ctx.log.info("billed", customer=job.customer)
    return f"{job.customer} pays {job.amount:.2f}"


@invoice.upcast(from_version=1)
def cents_to_amount(old: dict[str, Any]) -> dict[str, Any]:
    """Make the fields of version 2 of those of version 1."""
    return {"customer": old["customer"], "amount": str(Decimal(old["cents"]) / 100)}


async def main() -> None:
    """Read a payload as a program of before would have submitted it, and have a job of today done."""
    print("read:", invoice.parse(b'{"customer": "ann", "cents": 1250}', version=1))
    async with connect() as client:
        handle = await invoice.submit(client, Invoice(customer="ben", amount=Decimal("7.50")))
        print("done:", await handle.result(timeout=60))


if __name__ == "__main__":
    asyncio.run(main())
