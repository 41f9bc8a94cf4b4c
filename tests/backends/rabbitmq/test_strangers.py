"""Publishers and consumers that are not jobkit's."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from datetime import UTC, datetime

import aio_pika
import aiormq
import pytest
from structlog.testing import capture_logs

from jobkit.model.envelope import Envelope
from jobkit.model.partition import Partition, partition_of
from tests.backends.rabbitmq.conftest import Site
from tests.backends.rabbitmq.traffic import (
    FIRST,
    PROOF,
    ids,
    publish,
    ready,
    received,
)
from tests.lab.servers.bare import publish_bare

Properties = aiormq.spec.Basic.Properties


async def test_a_consumer_that_knows_nothing_of_seats_is_reported(site: Site) -> None:
    async with site.broker() as broker, await aio_pika.connect(site.url()) as connection:
        await broker.declare("t", 2)
        channel = await connection.channel()

        async def ignore(message: object) -> None:
            pass

        foreign = await channel.get_queue("jobkit.t.0")
        await foreign.consume(ignore)
        with capture_logs() as logs:
            async with broker.consume(FIRST, "me") as consumer:
                assert [entry["queue"] for entry in logs if entry["log_level"] == "error"] == ["jobkit.t.0"]
                await channel.close()
                await publish(broker, "a")
                assert ids(await received(consumer, 1)) == ["a"]


async def test_a_foreign_publisher_needs_the_exchange_a_partition_an_id_and_a_body(site: Site) -> None:
    key = "vidéo-7"
    number = zlib.crc32(key.encode()) % 2
    assert number == partition_of(key, 2)
    async with site.broker() as broker:
        await broker.declare("t", 2)
        properties = Properties(message_id="a", headers={"jobkit-key": key}, delivery_mode=2)
        await publish_bare(site.url(), "jobkit.t", str(number), b'{"n": 1}', properties)
        async with broker.consume(Partition("t", number), "me") as consumer:
            (delivery,) = await received(consumer, 1)
    assert delivery.envelope == Envelope(id="a", type="t", body=b'{"n": 1}', key=key)


@pytest.mark.parametrize(
    ("sent", "mangled"),
    [
        # Text that is not UTF-8, and a time in a year that Python does not know.
        (Properties(message_id="X" * 9), lambda frames: frames.replace(b"X" * 9, b"\xff" * 9)),
        (Properties(message_id="a", headers={"X" * 9: 1}), lambda frames: frames.replace(b"X" * 9, b"\xff" * 9)),
        (
            Properties(message_id="a", timestamp=datetime.fromtimestamp(0x11223344, UTC)),
            lambda frames: frames.replace(b"\0\0\0\0\x11\x22\x33\x44", b"\x7f" * 8),
        ),
    ],
)
async def test_properties_that_cannot_be_read_cost_one_message_and_not_the_connection(
    site: Site, sent: Properties, mangled: Callable[[bytes], bytes]
) -> None:
    async with site.broker() as broker:
        await broker.declare("t", 2)
        await publish_bare(site.url(), "jobkit.t", "0", b"body", sent, mangled=mangled)
        await publish(broker, "good")
        async with broker.consume(FIRST, "me") as consumer:
            bad, good = await received(consumer, 2)
            assert (bad.envelope, bad.raw, ids([good])) == (None, b"body", ["good"])
            assert "cannot be read" in bad.problem
            await consumer.ack(bad, PROOF)
            assert await ready(broker) == 1
