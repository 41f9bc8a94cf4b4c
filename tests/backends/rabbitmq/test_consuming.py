"""Consuming from a real server: whatever ends a consumer, the next one gets all that was not acked, in its order."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import aio_pika
import aiormq
import pytest
from structlog.testing import capture_logs

from jobkit.backends.rabbitmq import topology
from jobkit.backends.rabbitmq.broker import RabbitBroker
from jobkit.errors import ConsumerClosed
from jobkit.lab.servers.proxy import Proxy
from jobkit.ports.broker import Consumer, QueueDepth
from tests.backends.rabbitmq.conftest import Site
from tests.backends.rabbitmq.traffic import (
    FIRST,
    PROOF,
    SECOND,
    consuming,
    ids,
    publish,
    publish_somehow,
    ready,
    received,
    until,
)

NAMES = [f"{number:03}" for number in range(topology.PREFETCH + 50)]


async def ended(consumer: Consumer) -> ConsumerClosed:
    """Wait until a consumer is told that it is one no longer, and return how."""
    async with asyncio.timeout(30):
        while True:
            try:
                await consumer.receive(10)
            except ConsumerClosed as error:
                return error


async def cut(site: Site, proxy: Proxy) -> None:
    proxy.cut()


async def restart(site: Site, proxy: Proxy) -> None:
    await asyncio.to_thread(site.server.restart)


async def crash(site: Site, proxy: Proxy) -> None:
    await asyncio.to_thread(site.server.kill)
    await asyncio.to_thread(site.server.start)


async def take_over(site: Site, proxy: Proxy) -> None:
    async with site.broker() as other, consuming(other):
        pass


@pytest.mark.parametrize("end", [cut, restart, crash, take_over])
async def test_what_was_not_acked_comes_again_in_its_order(
    site: Site, end: Callable[[Site, Proxy], Awaitable[None]]
) -> None:
    async with Proxy(site.server.port) as proxy, site.broker(port=proxy.port) as broker:
        await broker.declare("t", 2)
        await publish(broker, *NAMES)
        async with consuming(broker) as consumer:
            deliveries = await received(consumer, 60)
            for delivery in deliveries[:40:2]:
                await consumer.ack(delivery, PROOF)

            async def acked() -> bool:
                return await ready(broker) == len(NAMES) - 20

            await until(acked)
            await end(site, proxy)
            await ended(consumer)
            with pytest.raises(ConsumerClosed):
                await consumer.ack(deliveries[1], PROOF)
        left = NAMES[1:40:2] + NAMES[40:]
        seen: list[str] = []
        async with consuming(broker) as consumer:
            # An ack that the server had not yet made durable may be lost with it: then that message comes again too.
            while not set(left) <= set(seen):
                (delivery,) = await received(consumer, 1)
                assert delivery.redelivered or ids([delivery])[0] >= NAMES[60]
                seen += ids([delivery])
                await consumer.ack(delivery, PROOF)
        assert seen == sorted(seen)


async def test_order_survives_one_hand_over_after_another(site: Site) -> None:
    async with site.broker() as one, site.broker() as other:
        await one.declare("t", 2)
        await publish(one, *NAMES)
        expected = list(NAMES)
        for turn in range(6):
            async with consuming(one if turn % 2 else other) as consumer:
                deliveries = await received(consumer, 30)
                assert ids(deliveries) == expected[:30]
                # Some in the middle, some at the front, sometimes none.
                done = [deliveries[number] for number in range(turn, 30, turn + 1)]
                for delivery in done:
                    await consumer.ack(delivery, PROOF)
            expected = [name for name in expected if name not in set(ids(done))]


async def test_an_ack_of_a_former_connection_does_not_reach_another_message(site: Site) -> None:
    async with Proxy(site.server.port) as proxy, site.broker(port=proxy.port) as broker:
        await broker.declare("t", 2)
        await publish(broker, "a", "b")
        async with consuming(broker) as old:
            a, b = await received(old, 2)
            proxy.cut()
            await ended(old)
            async with consuming(broker) as new:
                again = await received(new, 2)
                # The same tags, of another channel.
                assert [delivery.tag for delivery in again] == [a.tag, b.tag]
                with pytest.raises(ConsumerClosed):
                    await old.ack(a, PROOF)
        assert await ready(broker) == 2


async def test_a_consumer_whose_queue_is_deleted_is_told_and_the_next_makes_it_again(site: Site) -> None:
    async with site.broker() as broker, await aio_pika.connect(site.url()) as connection:
        await broker.declare("t", 2)
        async with broker.consume(FIRST, "me") as consumer:
            channel = await connection.channel()
            await channel.queue_delete("jobkit.t.0")
            assert "deleted" in str(await ended(consumer))
        with capture_logs() as logs:
            async with broker.consume(FIRST, "me") as consumer:
                await publish(broker, "a")
                assert ids(await received(consumer, 1)) == ["a"]
        assert [entry for entry in logs if entry["log_level"] == "error" and entry.get("type") == "t"]


async def test_a_delivery_held_too_long_for_the_server_ends_the_consumer_with_the_reason(site: Site) -> None:
    with site.server.set("consumer_timeout", "1000"), site.server.set("channel_tick_interval", "500"):
        async with site.broker() as broker:
            await broker.declare("t", 2)
            await publish(broker, "a", "b")
            async with broker.consume(FIRST, "me") as consumer:
                held, _ = await received(consumer, 2)
                assert "timed out" in str(await ended(consumer))
                with pytest.raises(ConsumerClosed):
                    await consumer.ack(held, PROOF)
            async with broker.consume(FIRST, "me") as consumer:
                again = await received(consumer, 2)
                assert ids(again) == ["a", "b"]
                # As a job does that goes on in the in-flight table: its delivery is acked, and nothing is held.
                for delivery in again:
                    await consumer.ack(delivery, PROOF)
                await asyncio.sleep(3)
                await publish(broker, "c")
                assert ids(await received(consumer, 1)) == ["c"]


async def test_a_silent_consumer_keeps_its_place_only_until_its_heartbeats_are_missed(site: Site) -> None:
    async with (
        Proxy(site.server.port) as proxy,
        site.broker(port=proxy.port, heartbeat=1) as silent,
        site.broker(heartbeat=1) as other,
    ):
        await other.declare("t", 2)
        await publish(other, "a", "b")
        async with silent.consume(FIRST, "old") as old:
            a, _ = await received(old, 2)
            proxy.hold()
            started = asyncio.get_running_loop().time()
            async with other.consume(FIRST, "new") as new:
                assert asyncio.get_running_loop().time() - started < 30
                assert ids(await received(new, 2)) == ["a", "b"]
                proxy.heal()
                await ended(old)
                with pytest.raises(ConsumerClosed):
                    await old.ack(a, PROOF)
        assert await ready(other) == 2


async def test_of_consumers_opened_at_the_same_time_exactly_one_lasts(site: Site) -> None:
    ousted: list[str] = []
    async with site.broker() as one, site.broker() as two, site.broker() as three:
        await one.declare("t", 2)

        async def open_once(name: str, broker: RabbitBroker) -> None:
            async with broker.consume(FIRST, name) as consumer:
                try:
                    await received(consumer, 1)
                except ConsumerClosed:
                    ousted.append(name)

        async def one_is_left() -> bool:
            return len(ousted) == 2 and (await one.depths())[0].consumer not in (None, *ousted)

        async with asyncio.TaskGroup() as tasks:
            for name, broker in {"one": one, "two": two, "three": three}.items():
                tasks.create_task(open_once(name, broker))
            await until(one_is_left)
            await publish(one, "a")
    assert len(ousted) == 2


async def test_a_stuck_head_does_not_stop_what_is_behind_it(site: Site) -> None:
    async with site.broker() as broker:
        await broker.declare("t", 2)
        names = [f"{number:04}" for number in range(4 * topology.PREFETCH)]
        await publish(broker, *names)
        async with broker.consume(FIRST, "me") as consumer:
            (_, *behind) = await received(consumer, topology.PREFETCH)
            seen = topology.PREFETCH
            while seen < len(names):
                for delivery in behind:
                    await consumer.ack(delivery, PROOF)
                async with asyncio.timeout(10):
                    behind = list(await consumer.receive(1000))
                seen += len(behind)


async def test_acks_out_of_order_and_faster_than_the_socket_reach_the_server_each_once(site: Site) -> None:
    total = 6 * topology.PREFETCH
    async with site.broker() as broker, site.broker() as onlooker:
        await broker.declare("t", 2)
        await publish(broker, *(f"{number:04}" for number in range(total)))
        async with broker.consume(FIRST, "me") as consumer:
            seen = 0
            while seen < total:
                head, *behind = await received(consumer, min(topology.PREFETCH, total - seen))
                for number, delivery in enumerate([*behind, head]):
                    await consumer.ack(delivery, PROOF)
                    if number == 100:
                        # A hundred are on their way one by one, and then the first lets one ack do for all.
                        await asyncio.sleep(0)
                seen += 1 + len(behind)

            # Had one been sent twice, the server would close the channel, and give back what was on it.
            async def done() -> bool:
                return (await onlooker.depths())[0] == QueueDepth(FIRST, 0, 0, "me")

            await until(done)
            await asyncio.sleep(0.2)
            assert await done()


async def test_the_depths_of_other_processes_queues_name_who_has_what_in_hand(site: Site) -> None:
    async with Proxy(site.server.port) as proxy, site.broker(port=proxy.port) as worker, site.broker() as onlooker:
        await worker.declare("t", 2)
        await publish(worker, *"abc")
        async with worker.consume(FIRST, "worker") as consumer:
            a, *_ = await received(consumer, 3)
            await consumer.ack(a, PROOF)
            first, second = await onlooker.depths()
            assert (first.partition, first.ready, first.delayed, first.consumer) == (FIRST, 2, 0, "worker")
            assert (second.partition, second.ready, second.consumer) == (SECOND, 0, None)
            proxy.hold()
            first, _ = await onlooker.depths()
            assert first.consumer is not None
            assert "does not answer" in first.consumer
            proxy.heal()


async def test_a_server_that_was_wiped_is_set_up_again(site: Site) -> None:
    async with site.broker() as broker:
        await broker.declare("t", 2)
        async with consuming(broker) as consumer:
            site.server.delete_vhost(site.vhost)
            await ended(consumer)
        site.server.add_vhost(site.vhost)
        async with consuming(broker) as consumer:
            await publish_somehow(broker, "a")
            assert ids(await received(consumer, 1)) == ["a"]


async def test_half_a_second_for_a_round_trip_slows_everything_down_and_breaks_nothing(site: Site) -> None:
    async with Proxy(site.server.port) as proxy, site.broker(port=proxy.port) as one, site.broker() as other:
        await other.declare("t", 8)
        proxy.delay(0.25)
        async with asyncio.timeout(30):
            await one.declare("t", 8)
            names = [f"{number:03}" for number in range(100)]
            await publish(one, *names)
            async with one.consume(FIRST, "far") as consumer:
                deliveries = await received(consumer, 100)
                assert ids(deliveries) == names
                for delivery in deliveries[:50]:
                    await consumer.ack(delivery, PROOF)
                async with other.consume(FIRST, "near") as next_one:
                    assert ids(await received(next_one, 50)) == names[50:]
                await ended(consumer)


async def test_a_consumer_whose_opening_is_cancelled_keeps_nothing_from_the_others(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = asyncio.Event()
    consume = aiormq.Channel.basic_consume

    async def ask(self: aiormq.Channel, queue: str, *args: Any, **options: Any) -> Any:
        if queue == topology.partition_queue(FIRST):
            # What the server sends now comes after nobody wants it any more.
            proxy.hold("down")
            asked.set()
        return await consume(self, queue, *args, **options)

    async with site.broker() as other, Proxy(site.server.port) as proxy, site.broker(port=proxy.port) as broker:
        await other.declare("t", 2)
        await publish(other, *NAMES)
        async with consuming(broker, SECOND) as consumer:
            monkeypatch.setattr(aiormq.Channel, "basic_consume", ask)
            opening = asyncio.create_task(broker.consume(FIRST, "me").__aenter__())
            await asked.wait()
            # Until it is on its way.
            await asyncio.sleep(0.05)
            opening.cancel()
            with pytest.raises(asyncio.CancelledError):
                await opening
            proxy.heal()
            await publish(other, "a", partition=SECOND)
            async with asyncio.timeout(30):
                assert ids(await received(consumer, 1)) == ["a"]


async def test_a_seat_that_was_taken_and_not_sat_on_blocks_nobody_for_long(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = asyncio.Event()

    async def hesitate(*args: object, **options: object) -> None:
        taken.set()
        await asyncio.Event().wait()

    async with site.broker() as first, site.broker() as second:
        await first.declare("t", 2)
        with monkeypatch.context() as patch:
            patch.setattr(aiormq.Channel, "basic_consume", hesitate)
            opening = asyncio.create_task(first.consume(FIRST, "me").__aenter__())
            await taken.wait()
            opening.cancel()
            with pytest.raises(asyncio.CancelledError):
                await opening
        await publish(second, "a")
        async with asyncio.timeout(10), second.consume(FIRST, "another") as consumer:
            assert ids(await received(consumer, 1)) == ["a"]
