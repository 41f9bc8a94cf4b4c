"""A wake-up: what made this worker look at a job. Proof of nothing else."""

from __future__ import annotations

from jobkit.model.fence import Receipt
from jobkit.model.partition import Partition
from jobkit.model.priority import Priority
from jobkit.ports.broker import Consumer, Delivery
from jobkit.ports.store import Store
from jobkit.runner.decode import Job, NotJob


class PendingDelivery:
    """One delivery, or one entry of the in-flight table, and what is left to do about it.

    A delivery is held until it is settled or shelved, whichever comes first. One without a delivery (adopted from
    the in-flight table, or shelved) owes the broker nothing: the store takes it out of the table as it ends.
    """

    __slots__ = ("_consumer", "_delivery", "arrived", "held_since", "job", "lane")

    def __init__(
        self,
        job: Job | NotJob,
        *,
        arrived: float,
        consumer: Consumer | None = None,
        delivery: Delivery | None = None,
    ) -> None:
        self.job = job
        # The lane it goes to: that of its key, or one of its own where it is no job that has one. No key has a control
        # character in it.
        self.lane = job.key if isinstance(job, Job) else f"\0{id(self)}"
        self.arrived = arrived
        self.held_since: float | None = None
        self._consumer = consumer
        self._delivery = delivery

    @property
    def priority(self) -> Priority:
        """How urgent its job is, as far as it could be read."""
        envelope = self.job.envelope
        return Priority.NORMAL if envelope is None else envelope.priority

    @property
    def holds_delivery(self) -> bool:
        """Return whether the broker waits for an answer."""
        return self._delivery is not None

    async def settle(self, receipt: Receipt) -> None:
        """Ack the delivery, if one is still held. Raises `ConsumerClosed` or `Unavailable`; it then comes again."""
        consumer, delivery = self._consumer, self._delivery
        if consumer is not None and delivery is not None:
            # Cleared first: a second ack of one delivery is an error to some brokers.
            self._delivery = None
            await consumer.ack(delivery, receipt)

    async def requeue(self, seconds: float) -> bool:
        """Give the delivery back for so long; return False where there is none to give back."""
        consumer, delivery = self._consumer, self._delivery
        if consumer is None or delivery is None:
            return False
        self._delivery = None
        await consumer.delay(delivery, seconds)
        return True

    async def shelve(self, store: Store, partition: Partition) -> None:
        """Move the job into the in-flight table and ack the delivery; the work goes on under its lease."""
        if self._delivery is not None and isinstance(self.job, Job):
            receipt = await store.shelve(self.job.envelope, partition)
            await self.settle(receipt)
