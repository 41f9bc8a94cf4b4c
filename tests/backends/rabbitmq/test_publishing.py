"""Publishing to a real server: what is confirmed is there, what is not is unknown and said to be, nothing hangs."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from unittest.mock import ANY

import aio_pika
import pytest
from structlog.testing import capture_logs

from jobkit.backends.rabbitmq import publisher
from jobkit.backends.rabbitmq.connection import Channel
from jobkit.backends.rabbitmq.messages import Message
from jobkit.errors import Unavailable
from jobkit.lab.servers.proxy import Proxy
from jobkit.model.partition import Partition
from jobkit.ports.broker import Broker, Deferred, Published, Rejected
from tests.backends.rabbitmq.conftest import Site
from tests.backends.rabbitmq.traffic import (
    FIRST,
    PROOF,
    SECOND,
    envelope,
    ids,
    publish,
    publish_somehow,
    ready,
    received,
    until,
)


async def delete_queue(site: Site, queue: str) -> None:
    async with await aio_pika.connect(site.url()) as connection:
        channel = await connection.channel()
        await channel.queue_delete(queue)


async def publish_until_refused(broker: Broker, names: Sequence[str]) -> tuple[int, Deferred]:
    """Publish one message after another; return how many were taken, and the refusal of the next."""
    for taken, name in enumerate(names):
        (answer,) = await broker.publish([(FIRST, envelope(name))])
        if isinstance(answer, Deferred):
            return taken, answer
        assert isinstance(answer, Published)
    pytest.fail("the queue took everything")


async def test_after_a_lost_confirm_it_is_unknown_and_publishing_again_is_safe(site: Site) -> None:
    async with Proxy(site.server.port) as proxy, site.broker() as near, site.broker(port=proxy.port) as far:
        await near.declare("t", 2)
        await publish(far, "a")
        proxy.hold("down")
        publishing = asyncio.create_task(publish(far, "b"))

        async def in_the_queue() -> bool:
            return await ready(near) == 2

        await until(in_the_queue)
        assert not publishing.done()
        proxy.cut()
        proxy.heal()
        with pytest.raises(Unavailable):
            await publishing
        await publish(far, "b")
        async with near.consume(FIRST, "me") as consumer:
            assert ids(await received(consumer, 3)) == ["a", "b", "b"]


async def test_a_server_that_does_not_answer_is_given_up_and_tried_anew(site: Site) -> None:
    async with Proxy(site.server.port) as proxy, site.broker(port=proxy.port) as broker:
        await broker.declare("t", 2)
        await publish(broker, "a")
        proxy.hold()
        with pytest.raises(Unavailable, match="no confirm"):
            await publish(broker, "b", timeout=1.0)
        proxy.heal()
        await publish(broker, "c")


async def test_a_server_short_of_memory_blocks_publishers_who_are_told_and_consumers_go_on(site: Site) -> None:
    async with site.broker() as broker:
        await broker.declare("t", 2)
        await publish(broker, "a", "b")
        async with broker.consume(FIRST, "me") as consumer:
            with site.server.short_of_memory():
                # The first to publish finds out, the others know.
                for _ in range(2):
                    with pytest.raises(Unavailable, match="short of memory"):
                        async with asyncio.timeout(30):
                            await publish(broker, "c")
                a, b = await received(consumer, 2)
                await consumer.ack(a, PROOF)
                with pytest.raises(Unavailable, match="short of memory"):
                    await consumer.delay(b, 1.0)
            await publish_somehow(broker, "d")
            # What was under way when it was blocked has come through as well.
            assert set(ids(await received(consumer, 2))) == {"c", "d"}


async def test_leaving_a_server_that_blocks_publishers_does_not_hang(site: Site) -> None:
    async with site.broker() as broker:
        await broker.declare("t", 2)
        await publish(broker, "a")
        with site.server.short_of_memory():
            with pytest.raises(Unavailable):
                await publish(broker, "b")
            async with asyncio.timeout(10):
                await broker.aclose()


async def test_one_missing_queue_is_named_and_the_other_messages_are_in(site: Site) -> None:
    async with site.broker() as declaring, site.broker() as broker:
        await declaring.declare("t", 2)
        nowhere = Partition("t", 7)
        answers = await broker.publish([(FIRST, envelope("a")), (nowhere, envelope("b")), (SECOND, envelope("c"))])
        assert answers == [Published(), Deferred(ANY), Published()]
        assert "t/7" in answers[1].reason  # type: ignore[union-attr]
        assert (await ready(declaring, FIRST), await ready(declaring, SECOND)) == (1, 1)


async def test_one_id_published_twice_at_once_to_a_missing_queue_is_refused_twice(site: Site) -> None:
    async with site.broker() as declaring, site.broker() as broker:
        await declaring.declare("t", 2)
        nowhere = [(Partition("t", 7), envelope("a"))]
        answers = await asyncio.gather(*(broker.publish(nowhere) for _ in range(5)))
        assert [type(answer) for (answer,) in answers] == [Deferred] * 5


async def test_a_queue_that_was_deleted_is_made_again_loudly_by_who_declared_it(site: Site) -> None:
    async with site.broker() as broker:
        await broker.declare("t", 2)
        await publish(broker, "lost")
        await delete_queue(site, "jobkit.t.0")
        with capture_logs() as logs:
            await publish(broker, "a")
        assert [entry for entry in logs if entry["log_level"] == "error" and entry["type"] == "t"]
        async with broker.consume(FIRST, "me") as consumer:
            assert ids(await received(consumer, 1)) == ["a"]


async def test_what_was_confirmed_survives_a_crash_of_the_server(site: Site) -> None:
    async with site.broker() as broker:
        await broker.declare("t", 2)
        names = [f"{number:03}" for number in range(100)]
        await publish(broker, *names)
        await asyncio.to_thread(site.server.kill)
        with pytest.raises(Unavailable):
            await publish(broker, "while it is down")
        await asyncio.to_thread(site.server.start)
        await publish_somehow(broker, "after")
        async with broker.consume(FIRST, "me") as consumer:
            assert ids(await received(consumer, 101)) == [*names, "after"]


async def test_of_ten_messages_one_that_is_too_large_is_rejected_by_name_and_nine_are_in_once(site: Site) -> None:
    with site.server.set("max_message_size", "100000"):
        async with site.broker() as broker:
            await broker.declare("t", 2)
            messages = [
                (FIRST, envelope(f"{number}", body=bytes(200_000 if number == 4 else 10))) for number in range(10)
            ]
            answers = await broker.publish(messages)
            assert [type(answer) for answer in answers] == [*[Published] * 4, Rejected, *[Published] * 5]
            assert "100000" in answers[4].reason  # type: ignore[union-attr]
            # From now on it is known.
            assert broker.max_body_bytes == 100_000
            assert broker.objection(messages[4][1]) is not None
            async with broker.consume(FIRST, "me") as consumer:
                seen: dict[str, None] = {}
                while len(seen) < 9:
                    seen |= dict.fromkeys(ids(await received(consumer, 1)))
            assert list(seen) == [f"{number}" for number in range(10) if number != 4]


async def test_of_many_messages_those_that_the_server_closes_the_channel_over_are_found_one_by_one(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As for a size, where the server's words do not tell which one it was."""
    monkeypatch.setattr(publisher, "_TOO_LARGE", re.compile("no such words"))
    with site.server.set("max_message_size", "1000"):
        async with site.broker() as broker:
            await broker.declare("t", 2)
            large = {3, 17, 18}
            messages = [(FIRST, envelope(f"{n}", body=bytes(2000 if n in large else 10))) for n in range(30)]
            answers = await broker.publish(messages)
            assert {number for number, answer in enumerate(answers) if isinstance(answer, Rejected)} == large
            assert sum(isinstance(answer, Published) for answer in answers) == 27


async def test_a_user_without_permission_is_told_so_and_nothing_is_rejected_for_good(site: Site) -> None:
    async with site.broker() as broker, site.broker() as forbidden:
        await broker.declare("t", 2)
        # A channel remembers for a while what it may do.
        site.server.forbid_writing(site.vhost)
        (answer,) = await forbidden.publish([(FIRST, envelope("a"))])
        assert isinstance(answer, Deferred)
        assert "access" in answer.reason
        site.server.permit(site.vhost)
        await publish_somehow(forbidden, "a")


async def test_a_full_queue_refuses_by_name_and_takes_the_rest_in_order_once_there_is_room(site: Site) -> None:
    names = [f"{number:02}" for number in range(30)]
    async with site.broker() as broker:
        await broker.declare("t", 2)
        with site.server.policy(site.vhost, "^jobkit", "max-length", 5):
            # It learns that the queue is full from what it has published before, so how much fits is the server's.
            taken, refusal = await publish_until_refused(broker, names)
            assert 5 <= taken < len(names)
            assert "jobkit.t.0 refuses" in refusal.reason
            # Its neighbour notices nothing.
            both = [(FIRST, envelope(names[taken])), (SECOND, envelope("neighbour"))]
            assert [type(answer) for answer in await broker.publish(both)] == [Deferred, Published]
            publishing = asyncio.create_task(publish_somehow(broker, *names[taken:]))
            async with broker.consume(FIRST, "me") as consumer:
                seen: dict[str, None] = {}
                while len(seen) < len(names):
                    for delivery in await received(consumer, 1):
                        seen |= dict.fromkeys(ids([delivery]))
                        await consumer.ack(delivery, PROOF)
                await publishing
    assert list(seen) == names


async def test_many_who_publish_at_once_keep_each_their_order(site: Site) -> None:
    async with site.broker() as broker:
        await broker.declare("t", 2)
        await asyncio.gather(
            *(publish(broker, *(f"{publisher}-{number:03}" for number in range(60))) for publisher in "abcd")
        )
        async with broker.consume(FIRST, "me") as consumer:
            got = ids(await received(consumer, 240))
    for name in "abcd":
        mine = [id for id in got if id.startswith(name)]
        assert mine == sorted(mine)
        assert len(mine) == 60


async def test_a_batch_larger_than_the_window_keeps_its_order(site: Site) -> None:
    names = [f"{number:04}" for number in range(1200)]
    async with site.broker() as broker:
        await broker.declare("t", 2)
        await publish(broker, *names)
        async with broker.consume(FIRST, "me") as consumer:
            got: list[str] = []
            while len(got) < len(names):
                for delivery in await consumer.receive(100):
                    got += ids([delivery])
                    await consumer.ack(delivery, PROOF)
    assert got == names


async def test_a_publisher_that_is_cancelled_leaves_the_channel_in_order(site: Site) -> None:
    async with Proxy(site.server.port) as proxy, site.broker(port=proxy.port) as broker:
        await broker.declare("t", 2)
        await publish(broker, "a")
        proxy.hold("down")
        publishing = asyncio.create_task(publish(broker, "b"))
        await asyncio.sleep(0)
        publishing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await publishing
        proxy.heal()
        # The same id again, and others: nothing waits for what was cancelled.
        async with asyncio.timeout(30):
            await publish(broker, "b", "c")


async def test_one_id_twice_in_a_batch_loses_neither_where_the_queue_has_to_be_made_again(site: Site) -> None:
    async with site.broker() as broker:
        await broker.declare("t", 2)
        await delete_queue(site, "jobkit.t.0")
        await broker.publish([(FIRST, envelope(id, body=body)) for id, body in (("a", b"1"), ("b", b"2"), ("a", b"3"))])
        async with broker.consume(FIRST, "me") as consumer:
            assert [delivery.raw for delivery in await received(consumer, 3)] == [b"1", b"2", b"3"]


async def test_a_batch_of_large_messages_is_not_all_under_way_at_once(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    under_way = most = 0
    publish_one = publisher.publish_one

    async def counted(channel: Channel, message: Message) -> publisher.Answer:
        nonlocal under_way, most
        under_way += len(message.body)
        most = max(most, under_way)
        try:
            return await publish_one(channel, message)
        finally:
            under_way -= len(message.body)

    monkeypatch.setattr(publisher, "publish_one", counted)
    names = [f"{number:02}" for number in range(40)]
    async with site.broker() as broker:
        await broker.declare("t", 2)
        await broker.publish([(FIRST, envelope(name, body=bytes(1 << 18))) for name in names])
        async with broker.consume(FIRST, "me") as consumer:
            assert ids(await received(consumer, len(names))) == names
    assert 1 << 20 < most <= 4 << 20
