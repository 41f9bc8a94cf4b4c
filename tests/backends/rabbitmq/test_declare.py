"""Declaring on a real server: again and again, by many at once, and over what somebody else has made."""

from __future__ import annotations

import asyncio

import aio_pika
import pytest
from aio_pika.exceptions import ChannelNotFoundEntity, DeliveryError

from jobkit.backends.rabbitmq.broker import RabbitBroker
from jobkit.errors import ConfigurationError
from jobkit.model.clock import SystemClock
from jobkit.model.partition import Partition
from jobkit.testing.conformance.values import PROOF, envelope
from tests.backends.rabbitmq.conftest import Site


async def types(broker: RabbitBroker) -> dict[str, int]:
    """Return how many partitions of each type there are, as somebody sees it who has declared nothing."""
    found: dict[str, int] = {}
    for depth in await broker.depths():
        found[depth.partition.type] = found.get(depth.partition.type, 0) + 1
    return found


async def test_many_who_declare_at_once_make_each_type_once(site: Site) -> None:
    async with site.broker() as one, site.broker() as two, site.broker() as three, site.broker() as onlooker:
        brokers = (one, two, three)
        await asyncio.gather(*(broker.declare(type, 2) for broker in brokers for type in ("t", "u.v", "w")))
        assert await types(onlooker) == {"t": 2, "u.v": 2, "w": 2}
        many = await asyncio.gather(*(types(broker) for broker in (*brokers, onlooker) for _ in range(5)))
        assert all(one == many[0] for one in many)


async def test_of_two_numbers_of_partitions_declared_at_once_the_queues_of_both_are_there(site: Site) -> None:
    async with site.broker() as one, site.broker() as two, site.broker() as onlooker:
        await asyncio.gather(one.declare("t", 2), two.declare("t", 3))
        await one.restore("t", 3)
        assert await types(onlooker) == {"t": 3}
        await one.restore("t", 4)
        assert await types(onlooker) == {"t": 4}


async def test_another_number_is_entered_in_the_directory_once(site: Site) -> None:
    async with site.broker() as broker, site.broker() as onlooker:
        for number in (2, 5, 3):
            await broker.restore("t", number)
            assert await types(onlooker) == {"t": number}
        async with await aio_pika.connect(site.url()) as connection:
            channel = await connection.channel()
            directory = await channel.get_queue("jobkit:types")
            assert directory.declaration_result.message_count == 1


async def test_the_number_is_entered_again_where_the_directory_was_purged(site: Site) -> None:
    async with site.broker() as broker, site.broker() as other:
        await broker.declare("t", 2)
        async with await aio_pika.connect(site.url()) as connection:
            channel = await connection.channel()
            directory = await channel.get_queue("jobkit:types")
            await directory.purge()
        await other.restore("t", 2)
        async with site.broker() as onlooker:
            assert await types(onlooker) == {"t": 2}


async def test_a_partition_that_is_removed_takes_its_delay_queues_and_its_binding_with_it(site: Site) -> None:
    async with site.broker() as broker:
        await broker.declare("t", 2)
        last = Partition("t", 1)
        async with broker.consume(last, "me") as consumer:
            await broker.publish([(last, envelope("a"))])
            (delivery,) = await consumer.receive(1)
            await consumer.delay(delivery, 1)
            assert not await broker.remove(last)
            (delivery,) = await consumer.receive(1)
            await consumer.ack(delivery, PROOF)
        assert await broker.remove(last)
        async with await aio_pika.connect(site.url()) as connection:
            for name in ("jobkit.t.1", "jobkit.t.1:delay-1s"):
                channel = await connection.channel()
                with pytest.raises(ChannelNotFoundEntity):
                    await channel.get_queue(name)
            channel = await connection.channel(on_return_raises=True)
            exchange = await channel.get_exchange("jobkit.t")
            with pytest.raises(DeliveryError):
                await exchange.publish(aio_pika.Message(b"{}"), routing_key="1")


async def test_a_reader_of_the_directory_that_dies_takes_nothing_with_it(site: Site) -> None:
    async with site.broker() as broker, site.broker() as onlooker:
        await broker.declare("t", 2)
        for turns in range(0, 200, 10):
            reading = asyncio.create_task(onlooker.depths())
            for _ in range(turns):
                await asyncio.sleep(0)
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
        assert await types(onlooker) == {"t": 2}


async def test_a_queue_made_in_another_way_is_refused_by_name(site: Site) -> None:
    async with await aio_pika.connect(site.url()) as connection, site.broker() as broker:
        channel = await connection.channel()
        await channel.declare_queue("jobkit.t.1", durable=True)
        with pytest.raises(ConfigurationError, match=r"jobkit\.t\.1"):
            await broker.declare("t", 2)


async def test_a_limit_of_queues_is_told_as_one_and_nobody_is_sent_to_delete_any(site: Site) -> None:
    limits = f'rabbit_vhost_limit:parse_set(<<"{site.vhost}">>, <<"{{\\"max-queues\\": 3}}">>, <<"tests">>)'
    site.server.call(limits)
    async with site.broker() as broker:
        with pytest.raises(ConfigurationError, match="have the limit raised") as told:
            await broker.declare("t", 8)
    assert "delete" not in str(told.value)


async def test_a_user_without_permission_is_told_what_is_needed(site: Site) -> None:
    vhost = site.vhost
    site.server.call('rabbit_auth_backend_internal:add_user(<<"reader">>, <<"reader">>, <<"tests">>)')
    try:
        site.server.call(
            f'rabbit_auth_backend_internal:set_permissions(<<"reader">>, <<"{vhost}">>, <<"">>, <<"">>, <<".*">>, '
            '<<"tests">>)'
        )
        broker = RabbitBroker(site.url().replace("guest:guest", "reader:reader"), SystemClock())
        with pytest.raises(ConfigurationError, match="permission"):
            await broker.declare("t", 2)
        await broker.aclose()
    finally:
        site.server.call('rabbit_auth_backend_internal:delete_user(<<"reader">>, <<"tests">>)')


async def test_declaring_takes_few_round_trips_however_many_partitions(site: Site) -> None:
    from jobkit.lab.servers.proxy import Proxy

    async with Proxy(site.server.port) as proxy, site.broker() as near, site.broker(port=proxy.port) as far:
        await near.declare("t", 64)
        # Connected first, which takes round trips of its own.
        await far.declare("t", 64)
        proxy.delay(0.1)
        started = asyncio.get_running_loop().time()
        await far.declare("t", 64)
        assert asyncio.get_running_loop().time() - started < 0.2 * 20
