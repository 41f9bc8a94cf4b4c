"""Wake-ups: an answer to the broker is given once, and only where one is owed."""

from __future__ import annotations

from typing import cast

import pytest

from jobkit.errors import ConsumerClosed
from jobkit.model.envelope import Envelope
from jobkit.model.fence import Receipt
from jobkit.model.partition import Partition
from jobkit.ports.broker import Consumer, Delivery
from jobkit.ports.store import Store
from jobkit.runner.decode import Job, Malformed
from jobkit.runner.pending_delivery import PendingDelivery
from tests.steps import Step, step

ENVELOPE = Envelope("x", "step", b"{}", key="k")
JOB = Job(ENVELOPE, step, Step())
RECEIPT = Receipt("x", "committed")


class _Recorder:
    """A consumer and a store that note what they are told."""

    def __init__(self, error: Exception | None = None) -> None:
        self.told: list[str] = []
        self._error = error

    def _note(self, what: str) -> None:
        self.told.append(what)
        if self._error is not None:
            raise self._error

    async def ack(self, delivery: Delivery, receipt: Receipt) -> None:
        self._note(f"ack {delivery.tag} {receipt.kind}")

    async def delay(self, delivery: Delivery, seconds: float) -> None:
        self._note(f"delay {delivery.tag} {seconds:g}")

    async def shelve(self, envelope: Envelope, partition: Partition) -> Receipt:
        self.told.append(f"shelve {envelope.id} {partition}")
        return Receipt(envelope.id, "shelved")


def _wakeup(recorder: _Recorder, job: Job | Malformed = JOB) -> PendingDelivery:
    delivery = Delivery(tag=7, raw=b"", envelope=ENVELOPE)
    return PendingDelivery(job, arrived=0, consumer=cast(Consumer, recorder), delivery=delivery)


async def test_a_delivery_is_acked_once_however_often_it_is_settled() -> None:
    recorder = _Recorder()
    pending = _wakeup(recorder)
    assert pending.holds_delivery
    await pending.settle(RECEIPT)
    await pending.settle(RECEIPT)
    assert not await pending.requeue(5)
    assert recorder.told == ["ack 7 committed"]
    assert not pending.holds_delivery


async def test_a_delivery_is_given_back_once() -> None:
    recorder = _Recorder()
    pending = _wakeup(recorder)
    assert await pending.requeue(5)
    await pending.settle(RECEIPT)
    assert recorder.told == ["delay 7 5"]


async def test_an_ack_that_failed_is_not_repeated() -> None:
    """To some brokers a second ack of one delivery is an error that ends the channel."""
    recorder = _Recorder(ConsumerClosed("gone"))
    pending = _wakeup(recorder)
    with pytest.raises(ConsumerClosed):
        await pending.settle(RECEIPT)
    await pending.settle(RECEIPT)
    assert recorder.told == ["ack 7 committed"]


async def test_shelving_moves_the_job_first_and_acks_with_the_receipt_of_that() -> None:
    """nothing-lost."""
    recorder = _Recorder()
    pending = _wakeup(recorder)
    await pending.shelve(cast(Store, recorder), Partition("step", 1))
    await pending.shelve(cast(Store, recorder), Partition("step", 1))
    assert recorder.told == ["shelve x step/1", "ack 7 shelved"]


async def test_what_is_no_job_is_not_shelved() -> None:
    recorder = _Recorder()
    pending = _wakeup(recorder, Malformed(b"?", None, "malformed message", ""))
    await pending.shelve(cast(Store, recorder), Partition("step", 1))
    assert recorder.told == []
    assert pending.holds_delivery


async def test_an_adopted_job_owes_the_broker_nothing() -> None:
    pending = PendingDelivery(JOB, arrived=0)
    assert not pending.holds_delivery
    await pending.settle(RECEIPT)
    assert not await pending.requeue(1)
