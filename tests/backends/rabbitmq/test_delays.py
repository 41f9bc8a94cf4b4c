"""Delayed messages on a real server."""

from __future__ import annotations

import asyncio

import pytest

from jobkit.backends.rabbitmq import topology
from tests.backends.rabbitmq.conftest import Site
from tests.backends.rabbitmq.traffic import (
    FIRST,
    PROOF,
    consuming,
    ids,
    publish,
    ready,
    received,
)


async def test_delayed_messages_survive_a_crash_of_the_server(site: Site) -> None:
    names = [f"{number:02}" for number in range(50)]
    async with site.broker() as broker:
        await broker.declare("t", 2)
        await publish(broker, *names)
        async with broker.consume(FIRST, "me") as consumer:
            await asyncio.gather(*(consumer.delay(delivery, 2.0) for delivery in await received(consumer, 50)))
        assert [(depth.ready, depth.delayed) for depth in await broker.depths()] == [(50, 50), (0, 0)]
        await asyncio.to_thread(site.server.kill)
        await asyncio.to_thread(site.server.start)
        async with consuming(broker) as consumer:
            came: set[str] = set()
            while len(came) < 50:
                came |= set(ids(await received(consumer, 1)))
        assert came == set(names)


async def test_a_delay_beyond_the_longest_step_is_kept_through_all_its_rounds(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(topology, "DELAY_STEPS", (1,))
    async with site.broker() as broker:
        await broker.declare("t", 2)
        await publish(broker, "a")
        async with broker.consume(FIRST, "me") as consumer:
            (a,) = await received(consumer, 1)
            started = asyncio.get_running_loop().time()
            await consumer.delay(a, 2.5)
            (again,) = await received(consumer, 1)
            assert asyncio.get_running_loop().time() - started >= 2.5
            assert again.envelope == a.envelope
            await consumer.ack(again, PROOF)
            assert await ready(broker) == 0
