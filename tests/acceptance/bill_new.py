"""The plugin of `bill_old`, as its second version is: an amount has a currency, and old bills were in euros."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jobkit import Context, Payload, processor


class Bill(Payload):
    """An amount that somebody owes."""

    to: str
    amount: str
    currency: str


@processor("test.bill", key=lambda job: job.to, ordered=True, version=2)
async def bill(job: Bill, ctx: Context) -> str:
    """Say which version wrote the bill."""
    ctx.append("billed", {"by": 2, "amount": job.amount, "currency": job.currency})
    return "2"


@bill.upcast(from_version=1)
def _in_euros(old: dict[str, Any]) -> Mapping[str, Any]:
    return {"to": old["to"], "amount": f"{old['cents'] / 100:.2f}", "currency": "EUR"}
