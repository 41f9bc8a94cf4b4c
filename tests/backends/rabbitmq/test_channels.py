"""Channels: no more than the server allows, none left behind, and no number used again too soon."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest
from aio_pika.exceptions import ChannelNotFoundEntity

from jobkit.backends.rabbitmq.address import Server
from jobkit.backends.rabbitmq.connection import Link
from jobkit.errors import Unavailable
from jobkit.model.clock import SystemClock
from jobkit.model.partition import Partition
from tests.backends.rabbitmq.conftest import Site
from tests.backends.rabbitmq.traffic import publish, until


async def test_more_consumers_than_a_server_allows_channels_are_refused_by_name(site: Site) -> None:
    with site.server.set("channel_max", "4"):
        async with site.broker() as broker, AsyncExitStack() as consumers:
            await broker.declare("t", 6)

            async def open_all() -> None:
                for number in range(6):
                    await consumers.enter_async_context(broker.consume(Partition("t", number), "me"))

            with pytest.raises(Unavailable, match="4 channels"):
                await open_all()
            # Those that are open go on.
            await publish(broker, "a")


async def test_a_channels_number_is_not_given_out_again_at_once(site: Site) -> None:
    link = Link(Server.parse(site.url()), "test", SystemClock())
    try:
        numbers = []
        for _ in range(5):
            async with link.channel() as channel:
                numbers.append(channel.raw.number)
                with pytest.raises(ChannelNotFoundEntity):
                    await channel.call(channel.pika.get_queue("not there"), "looking")
        assert len(set(numbers)) == 5
    finally:
        await link.aclose()


async def test_a_connection_keeps_nothing_of_channels_that_ended(site: Site) -> None:
    link = Link(Server.parse(site.url()), "test", SystemClock())
    try:
        connected = await link.connect()

        async def kept() -> int:
            return len(connected.connection._closing._callbacks or ()) + len(connected.connection.channels)

        before = await kept()
        for _ in range(10):
            async with link.channel() as channel:
                await channel.call(channel.pika.declare_queue("mine", exclusive=True), "declaring")
            async with link.channel() as channel:
                with pytest.raises(ChannelNotFoundEntity):
                    await channel.call(channel.pika.get_queue("not there"), "looking")
        assert await kept() == before
    finally:
        await link.aclose()


async def test_channels_that_the_server_closes_at_the_same_time_are_gone_there_too(site: Site) -> None:
    """One that is not would cost the whole connection once its number comes round."""
    link = Link(Server.parse(site.url()), "test", SystemClock())

    async def look() -> None:
        async with link.channel() as channel:
            with pytest.raises(ChannelNotFoundEntity):
                await channel.call(channel.pika.get_queue("not there"), "looking")

    async def none_left() -> bool:
        here = f'proplists:get_value(vhost, rabbit_channel:info(P, [vhost])) == <<"{site.vhost}">>'
        return site.server.call(f"length([P || P <- rabbit_channel:list(), {here}])") == "0"

    try:
        for _ in range(10):
            await asyncio.gather(*(look() for _ in range(40)))
        await until(none_left)
    finally:
        await link.aclose()


async def test_numbers_of_channels_come_round_and_those_in_use_are_passed_over(site: Site) -> None:
    link = Link(Server.parse(site.url()), "test", SystemClock())
    try:
        async with link.channel() as held:
            connected = held.connected
            most = connected.connection.connection_tune.channel_max
            numbers = [connected.free_number() for _ in range(most + 1)]
            assert held.raw.number not in numbers
            assert set(numbers) == set(range(1, most + 1)) - {held.raw.number}
    finally:
        await link.aclose()
