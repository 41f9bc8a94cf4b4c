"""What the server itself takes out of a partition's queue ends in the type's dead-letter queue, and nowhere else."""

from __future__ import annotations

import asyncio

import aio_pika
import pytest

from jobkit.backends.rabbitmq.topology import partition_queue
from tests.backends.rabbitmq.conftest import Site
from tests.backends.rabbitmq.traffic import FIRST, publish, ready, until

DEAD = "jobkit.t:dead"


async def dead(site: Site, count: int) -> list[tuple[str, bytes]]:
    """Take so many messages out of the dead-letter queue, as somebody with other tools would."""
    found: list[tuple[str, bytes]] = []
    async with await aio_pika.connect(site.url()) as connection:
        channel = await connection.channel()
        queue = await channel.get_queue(DEAD)

        async def taken() -> bool:
            if (message := await queue.get(no_ack=True, fail=False)) is not None:
                found.append((message.message_id or "", message.body))
            return len(found) == count

        await until(taken)
    return found


@pytest.fixture
def expiring(site: Site) -> str:
    """Return the expression for the queues in which messages are to expire."""
    return "^" + partition_queue(FIRST).replace(".", r"\\.") + "$"


async def test_what_expires_by_a_policy_is_in_the_dead_letter_queue_in_its_order(site: Site, expiring: str) -> None:
    names = [f"{number:02}" for number in range(20)]
    async with site.broker() as broker:
        await broker.declare("t", 2)
        with site.server.policy(site.vhost, expiring, "message-ttl", 1):
            await publish(broker, *names)
            assert await dead(site, len(names)) == [(name, b"{}") for name in names]
        assert await ready(broker) == 0


async def test_a_dead_letter_waits_where_it_is_until_the_dead_letter_queue_takes_it(site: Site, expiring: str) -> None:
    """At least once: with the default of the server it would be dropped in silence."""
    with site.server.set("dead_letter_worker_publisher_confirm_timeout", "500"):
        async with site.broker() as broker:
            await broker.declare("t", 2)
            async with await aio_pika.connect(site.url()) as connection:
                channel = await connection.channel()
                await channel.queue_delete(DEAD)
            with site.server.policy(site.vhost, expiring, "message-ttl", 1):
                await publish(broker, "a")
                # Longer than it takes to expire, and than the server waits before it tries again.
                await asyncio.sleep(1.5)
                await broker.declare("t", 2)
                assert await dead(site, 1) == [("a", b"{}")]
