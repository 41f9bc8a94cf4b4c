"""Wake-ups: an answer to the broker is given once, and only where one is owed."""

from __future__ import annotations

from typing import cast

import pytest

from jobkit.envelope import Envelope
from jobkit.errors import ConsumerClosed
from jobkit.fence import Receipt
from jobkit.partition import Partition
from jobkit.ports.broker import Consumer, Delivery
from jobkit.ports.store import Store
from jobkit.runner.job import Job, Malformed
from jobkit.runner.wakeup import Wakeup
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


def _wakeup(recorder: _Recorder, job: Job | Malformed = JOB) -> Wakeup:
    delivery = Delivery(tag=7, raw=b"", envelope=ENVELOPE)
    return Wakeup(job, arrived=0, consumer=cast(Consumer, recorder), delivery=delivery)


async def test_a_delivery_is_acked_once_however_often_it_is_settled() -> None:
    recorder = _Recorder()
    wakeup = _wakeup(recorder)
    assert wakeup.holds_delivery
    await wakeup.settle(RECEIPT)
    await wakeup.settle(RECEIPT)
    assert not await wakeup.requeue(5)
    assert recorder.told == ["ack 7 committed"]
    assert not wakeup.holds_delivery


async def test_a_delivery_is_given_back_once() -> None:
    recorder = _Recorder()
    wakeup = _wakeup(recorder)
    assert await wakeup.requeue(5)
    await wakeup.settle(RECEIPT)
    assert recorder.told == ["delay 7 5"]


async def test_an_ack_that_failed_is_not_repeated() -> None:
    """To some brokers a second ack of one delivery is an error that ends the channel."""
    recorder = _Recorder(ConsumerClosed("gone"))
    wakeup = _wakeup(recorder)
    with pytest.raises(ConsumerClosed):
        await wakeup.settle(RECEIPT)
    await wakeup.settle(RECEIPT)
    assert recorder.told == ["ack 7 committed"]


async def test_shelving_moves_the_job_first_and_acks_with_the_receipt_of_that() -> None:
    """nothing-lost."""
    recorder = _Recorder()
    wakeup = _wakeup(recorder)
    await wakeup.shelve(cast(Store, recorder), Partition("step", 1))
    await wakeup.shelve(cast(Store, recorder), Partition("step", 1))
    assert recorder.told == ["shelve x step/1", "ack 7 shelved"]


async def test_what_is_no_job_is_not_shelved() -> None:
    recorder = _Recorder()
    wakeup = _wakeup(recorder, Malformed(b"?", None, "malformed message", ""))
    await wakeup.shelve(cast(Store, recorder), Partition("step", 1))
    assert recorder.told == []
    assert wakeup.holds_delivery


async def test_an_adopted_job_owes_the_broker_nothing() -> None:
    wakeup = Wakeup(JOB, arrived=0)
    assert not wakeup.holds_delivery
    await wakeup.settle(RECEIPT)
    assert not await wakeup.requeue(1)
