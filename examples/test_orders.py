"""A test of an application: whole workers in memory and in virtual time, and what may happen to them.

Run it:

    python -m pytest test_orders.py
"""

from __future__ import annotations

from follow_ups import Order, order, receipt

from jobkit.testing import in_virtual_time, open_site


@in_virtual_time
async def test_an_order_has_its_receipt() -> None:
    async with open_site(order, receipt) as site:
        await site.start_worker()
        handle = await order.submit(site.client, Order(number=7, email="ann@example.org"))
        sent = await site.ended(await handle.result(timeout=60))
        assert sent.result == b'"receipt for order 7 sent to ann@example.org"'
        await site.at_rest()


@in_virtual_time
async def test_an_order_that_meets_a_bad_day_is_taken_once() -> None:
    async with open_site(order, receipt) as site:
        first = await site.start_worker()
        with site.away("broker"):
            handle = await order.submit(site.client, Order(number=7, email="ann@example.org"))
            await site.clock.sleep(10)
        await first.kill()
        await site.start_worker()
        await handle.result(timeout=120)
        await site.at_rest()
        assert len(await site.planes.inspection.log("order", "7")) == 1
        assert await site.dead_letters() == []
