"""What is done about an order, found by jobkit's application because of the name of this module."""

from __future__ import annotations

from asgiref.sync import sync_to_async

from jobkit import Context, Payload, processor


class Ship(Payload):
    order: int


@processor("ship", key=lambda job: str(job.order))
async def ship(job: Ship, ctx: Context) -> str:
    """Send an order to its customer."""
    from tests.integrations.shop.models import Order

    order = await sync_to_async(Order.objects.get)(pk=job.order)
    return f"shipped to {order.customer}"
