"""A node that is killed at a chosen moment of a message's way: nothing is lost, and nothing waits for ever."""

from __future__ import annotations

import asyncio

from jobkit.backends.rabbitmq.diagnosis import diagnose
from jobkit.errors import Unavailable
from jobkit.lab.servers.proxy import Proxy
from jobkit.model.clock import SystemClock
from jobkit.model.partition import Partition
from jobkit.ports.broker import Deferred, InDoubt, Published
from tests.backends.rabbitmq.conftest import Site
from tests.backends.rabbitmq.traffic import (
    FIRST,
    PROOF,
    consuming,
    envelope,
    ids,
    publish,
    publish_somehow,
    ready,
    received,
    until,
)


async def crash(site: Site) -> None:
    await asyncio.to_thread(site.server.kill)
    await asyncio.to_thread(site.server.start)


async def covered() -> bool:
    return True


async def not_covered() -> bool:
    return False


async def test_of_queues_whose_node_is_killed_right_after_they_were_made_each_takes_messages_again(site: Site) -> None:
    """RabbitMQ 3.10 leaves the last of them without a leader, for ever."""
    every = [Partition("t", number) for number in range(4)]
    async with site.broker() as broker:
        await broker.declare("t", len(every))
        await crash(site)
        findings = await diagnose(site.url(), SystemClock(), delivery_hold=600.0, lease_ttl=15.0, max_payload=1_000)
        told = [finding for finding in findings if "does not answer" in finding.what]
        rebuilt: set[Partition] = set()
        waiting = set(every)

        async def all_in() -> bool:
            for partition in sorted(waiting):
                try:
                    (answer,) = await broker.publish([(partition, envelope("a"))], timeout=2.0)
                except Unavailable:
                    continue
                if isinstance(answer, Published):
                    waiting.discard(partition)
                # As long as the store may not have what is in it, it stays.
                elif not await broker.rebuild(partition, not_covered) and await broker.rebuild(partition, covered):
                    rebuilt.add(partition)
            return not waiting

        async with asyncio.timeout(90):
            while not await all_in():
                pass
        assert len(rebuilt) == len(told) <= 1
        assert all(f"jobkit.t.{partition.index}" in told[0].what for partition in rebuilt)
        for partition in every:
            async with consuming(broker, partition) as consumer:
                assert ids(await received(consumer, 1)) == ["a"]


async def test_a_node_killed_between_publish_and_confirm_leaves_it_in_doubt_and_once_again_is_enough(
    site: Site,
) -> None:
    async with Proxy(site.server.port) as proxy, site.broker() as near, site.broker(port=proxy.port) as far:
        await near.declare("t", 2)
        await publish(far, "before")
        proxy.hold("down")
        publishing = asyncio.create_task(far.publish([(FIRST, envelope("a")), (FIRST, envelope("b"))]))

        async def in_the_queue() -> bool:
            return await ready(near) == 3

        await until(in_the_queue)
        await asyncio.to_thread(site.server.kill)
        proxy.cut()
        proxy.heal()
        answers = await publishing
        # The second is at best behind the first: to publish it alone would be out of order.
        assert [type(answer) in (InDoubt, Deferred) for answer in answers] == [True, True]
        await asyncio.to_thread(site.server.start)
        await publish_somehow(far, "a", "b")
        async with consuming(far) as consumer:
            got: list[str] = []
            while got[-2:] != ["a", "b"] or len(got) < 5:
                for delivery in await received(consumer, 1):
                    got += ids([delivery])
                    await consumer.ack(delivery, PROOF)
        assert got[:3] == ["before", "a", "b"]
