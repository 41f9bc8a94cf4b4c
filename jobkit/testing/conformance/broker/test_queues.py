"""Queues: at-least-once delivery, in order within a partition, to one consumer."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from jobkit.errors import ConfigurationError, ConsumerClosed
from jobkit.model.envelope import Envelope
from jobkit.model.notice import Notice
from jobkit.model.partition import Partition
from jobkit.model.priority import Priority
from jobkit.ports.broker import Broker, Deferred, Published, Rejected
from jobkit.testing.conformance.broker.traffic import FIRST, SECOND, depth, ids, publish, received
from jobkit.testing.conformance.harness import BrokerHarness, a_moment, soon
from jobkit.testing.conformance.values import PROOF, envelope


@pytest.fixture(autouse=True)
async def queues(broker: Broker) -> None:
    await broker.declare("t", 2)


async def test_declaring_again_changes_nothing(broker: Broker) -> None:
    await publish(broker, "a")
    await broker.declare("t", 2)
    assert (await depth(broker)).ready == 1


async def test_more_queues_are_made_beside_those_there_are(broker: Broker) -> None:
    await publish(broker, "a")
    await broker.declare("t", 3)
    assert {depth.partition.index: depth.ready for depth in await broker.depths()} == {0: 1, 1: 0, 2: 0}


async def test_a_queue_is_removed_once_it_is_empty_and_can_be_made_again(broker: Broker) -> None:
    await publish(broker, "a", partition=SECOND)
    assert not await broker.remove(SECOND)
    assert (await depth(broker, SECOND)).ready == 1
    async with broker.consume(SECOND, "w") as consumer:
        (delivery,) = await received(consumer, 1)
        await consumer.delay(delivery, 600)
    # What is due later is in it, too.
    assert not await broker.remove(SECOND)
    async with broker.consume(SECOND, "w") as consumer:
        await publish(broker, "b", partition=SECOND)
        (delivery,) = await received(consumer, 1)
        await consumer.ack(delivery, PROOF)
    await broker.declare("t", 4)
    assert await broker.remove(Partition("t", 3))
    assert await broker.remove(Partition("t", 3))
    await broker.declare("t", 3)
    assert {depth.partition.index for depth in await broker.depths()} == {0, 1, 2}
    await broker.declare("t", 4)
    await publish(broker, "c", partition=Partition("t", 3))
    assert (await depth(broker, Partition("t", 3))).ready == 1


async def test_what_has_no_queue_is_deferred_by_name_and_the_others_are_in(broker: Broker) -> None:
    nosuch, beyond = Partition("nosuch", 0), Partition("t", 2)
    sent = [(nosuch, envelope("a", type="nosuch")), (FIRST, envelope("b")), (beyond, envelope("c"))]
    no_type, published, no_partition = await broker.publish(sent)
    assert isinstance(no_type, Deferred)
    assert "nosuch/0" in no_type.reason
    assert isinstance(no_partition, Deferred)
    assert "t/2" in no_partition.reason
    assert isinstance(published, Published)
    assert (await depth(broker)).ready == 1


async def test_what_no_broker_takes_is_rejected_with_the_reason_and_the_others_are_in_once_and_in_order(
    broker: Broker, broker_harness: BrokerHarness[Broker], monkeypatch: pytest.MonkeyPatch
) -> None:
    broker_harness.limit_body(broker, 1_000, monkeypatch)
    messages = [(FIRST, envelope(id, body=bytes(2_000 if id == "c" else 10))) for id in "abcde"]
    answers = await broker.publish(messages)
    assert [type(answer) for answer in answers] == [Published, Published, Rejected, Published, Published]
    assert isinstance(answers[2], Rejected)
    assert "2000" in answers[2].reason
    assert broker.max_body_bytes == 1_000
    # It is said without asking, too, so that such a job is not even accepted.
    assert [broker.objection(message) is None for _, message in messages] == [True, True, False, True, True]
    async with broker.consume(FIRST, "me") as consumer:
        assert ids(await received(consumer, 4)) == ["a", "b", "d", "e"]


async def test_nothing_published_is_nothing_answered(broker: Broker) -> None:
    assert list(await broker.publish([])) == []


async def test_a_queue_that_is_well_is_not_made_anew(broker: Broker) -> None:
    async def covered() -> bool:
        return True

    await publish(broker, "a")
    assert await broker.rebuild(FIRST, covered) is False
    async with broker.consume(FIRST, "me") as consumer:
        assert await broker.rebuild(FIRST, covered) is False
        assert ids(await received(consumer, 1)) == ["a"]


async def test_consuming_from_a_queue_that_does_not_exist_is_refused(broker: Broker) -> None:
    with pytest.raises(ConfigurationError, match="nosuch/0"):
        async with broker.consume(Partition("nosuch", 0), "me"):
            pass


async def test_messages_come_in_the_order_they_were_published_with_all_that_was_in_them(broker: Broker) -> None:
    sent = [
        Envelope(
            id=f"job {number}",
            type="t",
            body=b'{"n": %d}\n\x00\xff' % number,
            key="ké/\n",
            sequence=number if number % 2 else None,
            submitted_at=1.5,
            trace={"traceparent": "00-1-2-03"},
            notices=(Notice("n", "told", "ké", '{"a":"é","ended":{}}', ("ended",), Priority.HIGH),)
            if number % 3
            else (),
        )
        for number in range(30)
    ]
    await broker.publish([(FIRST, message) for message in sent[:10]])
    for message in sent[10:]:
        await broker.publish([(FIRST, message)])
    async with broker.consume(FIRST, "me") as consumer:
        got = await received(consumer, 30)
    assert [delivery.envelope for delivery in got] == sent
    assert not any(delivery.problem or delivery.redelivered for delivery in got)


async def test_receive_returns_at_most_the_limit_and_each_message_once(broker: Broker) -> None:
    await publish(broker, *"abcde")
    async with broker.consume(FIRST, "me") as consumer:
        batches = [await soon(consumer.receive(2)) for _ in range(3)]
        assert all(1 <= len(batch) <= 2 for batch in batches)
        assert "".join(ids([delivery for batch in batches for delivery in batch])) == "abcde"


async def test_partitions_do_not_mix(broker: Broker) -> None:
    await broker.publish([(SECOND if id in "bd" else FIRST, envelope(id)) for id in "abcd"])
    async with broker.consume(FIRST, "me") as first, broker.consume(SECOND, "me") as second:
        assert ids(await received(first, 2)) == ["a", "c"]
        assert ids(await received(second, 2)) == ["b", "d"]


async def test_receive_waits_until_another_process_publishes(broker_harness: BrokerHarness[Broker]) -> None:
    async with (
        broker_harness.process() as publisher,
        broker_harness.process() as worker,
        worker.consume(FIRST, "me") as consumer,
    ):
        waiting = asyncio.create_task(received(consumer, 1))
        await worker.depths()
        await a_moment()
        assert not waiting.done()
        await publish(publisher, "a")
        assert ids(await soon(waiting)) == ["a"]


async def test_a_receive_that_was_cancelled_loses_nothing(broker: Broker) -> None:
    async with broker.consume(FIRST, "me") as consumer:
        for turns in range(12):
            waiting = asyncio.create_task(consumer.receive(10))
            for _ in range(turns):
                await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
        await publish(broker, "a", "b")
        assert ids(await received(consumer, 2)) == ["a", "b"]


async def test_what_was_acked_is_gone_and_the_rest_comes_again_in_its_order(
    broker_harness: BrokerHarness[Broker], broker: Broker
) -> None:
    await publish(broker, *"abcd")
    async with broker_harness.process() as first, first.consume(FIRST, "first") as consumer:
        deliveries = await received(consumer, 3)
        await consumer.ack(deliveries[1], PROOF)
    async with broker.consume(FIRST, "second") as consumer:
        again = await received(consumer, 3)
    assert ids(again) == ["a", "c", "d"]
    assert all(delivery.redelivered for delivery in again if ids([delivery]) != ["d"])


async def test_a_queue_that_was_emptied_fills_again(broker: Broker) -> None:
    async with broker.consume(FIRST, "me") as consumer:
        for id in "abc":
            await publish(broker, id)
            (delivery,) = await received(consumer, 1)
            assert ids([delivery]) == [id]
            await consumer.ack(delivery, PROOF)


async def test_acking_twice_does_no_harm(broker: Broker) -> None:
    await publish(broker, "a", "b")
    async with broker.consume(FIRST, "me") as consumer:
        a, _ = await received(consumer, 2)
        await consumer.ack(a, PROOF)
        await consumer.ack(a, PROOF)
        assert (await depth(broker)).ready == 1


async def test_a_new_consumer_ends_the_old_one_for_ever(broker_harness: BrokerHarness[Broker], broker: Broker) -> None:
    await publish(broker, "a", "b")
    async with broker_harness.process() as other, broker.consume(FIRST, "old") as old:
        a, b = await received(old, 2)
        async with other.consume(FIRST, "new") as new:
            with pytest.raises(ConsumerClosed) as told:
                await soon(old.receive(1))
            assert told.value.taken_by == "new"
            with pytest.raises(ConsumerClosed):
                await old.ack(a, PROOF)
            with pytest.raises(ConsumerClosed):
                await old.delay(b, 1.0)
            assert ids(await received(new, 2)) == ["a", "b"]
        with pytest.raises(ConsumerClosed):
            await old.ack(a, PROOF)
    assert (await depth(broker)).ready == 2


async def test_an_old_consumer_that_waits_is_woken_and_told(
    broker_harness: BrokerHarness[Broker], broker: Broker
) -> None:
    async with broker_harness.process() as other, broker.consume(FIRST, "old") as old:
        waiting = asyncio.create_task(old.receive(1))
        await broker.depths()
        async with other.consume(FIRST, "new"):
            with pytest.raises(ConsumerClosed):
                await soon(waiting)


async def test_closing_the_broker_ends_its_consumers(broker_harness: BrokerHarness[Broker]) -> None:
    async with broker_harness.process() as leaving, leaving.consume(FIRST, "me") as consumer:
        waiting = asyncio.create_task(consumer.receive(1))
        await leaving.depths()
        await leaving.aclose()
        with pytest.raises(ConsumerClosed):
            await soon(waiting)


async def test_a_consumer_that_was_left_is_closed(broker: Broker) -> None:
    await publish(broker, "a")
    async with broker.consume(FIRST, "me") as consumer:
        (a,) = await received(consumer, 1)
    with pytest.raises(ConsumerClosed):
        await consumer.ack(a, PROOF)
    with pytest.raises(ConsumerClosed):
        await consumer.receive(1)


@pytest.mark.parametrize("body", [b"", b"no envelope", b"[]\n", b'{"id": "a"}\n{}', b"\xff\xfe\n"])
async def test_a_message_that_is_no_envelope_is_delivered_as_it_came_with_the_problem(
    broker_harness: BrokerHarness[Broker], broker: Broker, body: bytes
) -> None:
    await broker_harness.publish_raw(FIRST, body)
    await publish(broker, "good")
    async with broker.consume(FIRST, "me") as consumer:
        bad, good = await received(consumer, 2)
        assert (bad.envelope, bad.raw) == (None, body)
        assert bad.problem
        assert good.envelope == envelope("good")
        await consumer.ack(bad, PROOF)
        assert (await depth(broker)).ready == 1


async def test_what_another_version_says_of_a_job_comes_through(
    broker: Broker, broker_harness: BrokerHarness[Broker]
) -> None:
    later = replace(envelope("a"), version=3, schema=2, extra={"tenant": "x", "retry_of": ["b", 1, None]})
    await broker.publish([(FIRST, later)])
    async with broker.consume(FIRST, "me") as consumer:
        (delivery,) = await received(consumer, 1)
        await consumer.delay(delivery, broker_harness.ttl)
        await broker_harness.elapse(broker_harness.ttl * 1.01)
        (again,) = await received(consumer, 1)
    assert delivery.envelope == again.envelope == later


async def test_a_body_of_a_megabyte_comes_through_whole(broker: Broker) -> None:
    large = Envelope(id="large", type="t", body=bytes(range(256)) * 4096, key="k")
    await broker.publish([(FIRST, large)])
    async with broker.consume(FIRST, "me") as consumer:
        (delivery,) = await received(consumer, 1)
    assert delivery.envelope == large


async def test_messages_that_arrive_while_the_queue_is_emptied_are_not_missed(
    broker_harness: BrokerHarness[Broker], broker: Broker
) -> None:
    total = 300

    async def publisher() -> None:
        async with broker_harness.process() as other:
            for number in range(total):
                await publish(other, str(number))

    async with broker.consume(FIRST, "me") as consumer, asyncio.TaskGroup() as tasks:
        tasks.create_task(publisher())
        seen: list[str] = []
        while len(seen) < total:
            for delivery in await soon(consumer.receive(7)):
                seen += ids([delivery])
                await consumer.ack(delivery, PROOF)
    assert seen == [str(number) for number in range(total)]
    assert (await depth(broker)).ready == 0
