"""The broker plane on SQLite: queues that all processes of one machine share.

It does not notice by itself that a consumer's process died: the next consumer of the queue ends the dead one, and
`depths` names it until then.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager

import anyio
import structlog

from jobkit.backends.sqlite import queues
from jobkit.backends.sqlite.engine import Engine, EnginePlane
from jobkit.backends.sqlite.queues import Message, QueueClaim
from jobkit.errors import ConfigurationError, ConsumerClosed, JobkitError
from jobkit.model.envelope import Envelope, Heading
from jobkit.model.fence import Receipt
from jobkit.model.partition import Partition
from jobkit.model.plane import Plane
from jobkit.model.priority import Priority
from jobkit.ports.broker import CONFIRM_SECONDS, Answer, Deferred, Delivery, Published, QueueDepth, Rejected
from jobkit.ports.notifier import queue_topic

_log = structlog.get_logger("jobkit.sqlite.broker")

# How long leaving a consumer may take once it is cancelled; not leaving in order costs nothing but hints.
_LEAVE_SECONDS = 2.0
# SQLite itself ends at a billion bytes for a row, its envelope included.
MAX_BODY_BYTES = 256 << 20
PUBLISHED = Published()


class SqliteBroker:
    """A `Broker` on the engine's database."""

    def __init__(self, engine: Engine) -> None:
        self._plane = engine.plane(Plane.BROKER)
        self._queues: dict[Partition, int] = {}
        self._consumers: dict[SqliteConsumer, None] = {}

    async def declare(self, type: str, partitions: int) -> None:
        await self._plane.write(queues.declare, type, partitions)

    async def restore(self, type: str, partitions: int) -> None:
        await self.declare(type, partitions)

    async def remove(self, partition: Partition) -> bool:
        return await self._plane.write(queues.remove, partition)

    @property
    def max_body_bytes(self) -> int:
        return MAX_BODY_BYTES

    def objection(self, envelope: Envelope) -> str | None:
        size = len(envelope.body)
        return f"its payload has {size} bytes, SQLite takes {MAX_BODY_BYTES}" if size > MAX_BODY_BYTES else None

    async def publish(
        self,
        messages: Sequence[tuple[Partition, Envelope]],
        *,
        timeout: float = CONFIRM_SECONDS,  # noqa: ARG002  (the engine has a bound of its own)
    ) -> Sequence[Answer]:
        missing = await self._find_queues({partition for partition, _ in messages})
        answers = [self._before(partition, envelope, missing) for partition, envelope in messages]
        await self._append(
            [
                (partition, envelope.pack())
                for (partition, envelope), answer in zip(messages, answers, strict=True)
                if answer is PUBLISHED
            ]
        )
        return answers

    def _before(self, partition: Partition, envelope: Envelope, missing: Mapping[Partition, str]) -> Answer:
        """Return the answer for a message, if the transaction that it is part of succeeds."""
        if (objection := self.objection(envelope)) is not None:
            return Rejected(objection)
        return Deferred(missing[partition]) if partition in missing else PUBLISHED

    async def publish_raw(self, messages: Sequence[tuple[Partition, bytes]]) -> None:
        """Hand over bodies that need not be envelopes, as a foreign publisher would. Raises `ConfigurationError`."""
        for problem in (await self._find_queues({partition for partition, _ in messages})).values():
            raise ConfigurationError(problem)
        await self._append(messages)

    async def _append(self, messages: Sequence[tuple[Partition, bytes]]) -> None:
        rows = [(self._queues[partition], body) for partition, body in messages]
        topics = frozenset(queue_topic(partition) for partition, _ in messages)
        if rows:
            await self._plane.write(queues.publish, rows, topics)

    async def _find_queues(self, partitions: AbstractSet[Partition]) -> dict[Partition, str]:
        """Look up the queues that are not known here yet; return what is wrong with those that do not exist."""
        missing = {}
        for partition in partitions - self._queues.keys():
            try:
                self._queues[partition] = await self._find_queue(partition)
            except ConfigurationError as error:
                missing[partition] = str(error)
        return missing

    async def _find_queue(self, partition: Partition) -> int:
        if partition.priority is Priority.NORMAL:
            return await self._plane.read(queues.queue_of, partition)
        return await self._plane.write(queues.made_queue_of, partition)

    async def rebuild(
        self,
        partition: Partition,  # noqa: ARG002
        covered: Callable[[], Awaitable[bool]],  # noqa: ARG002
    ) -> bool:
        # A transaction always answers.
        return False

    @asynccontextmanager
    async def consume(self, partition: Partition, owner: str) -> AsyncIterator[SqliteConsumer]:
        claim = await self._plane.write(queues.open_claim, partition, owner)
        consumer = SqliteConsumer(self._plane, claim)
        self._consumers[consumer] = None
        try:
            yield consumer
        finally:
            self._consumers.pop(consumer, None)
            await consumer.leave()

    async def depths(self) -> Sequence[QueueDepth]:
        return await self._plane.read(queues.depths)

    async def dropped(self) -> Mapping[str, int]:
        # It takes nothing out of its queues that was not acked.
        return {}

    async def aclose(self) -> None:
        for consumer in list(self._consumers):
            await consumer.leave()


class SqliteConsumer:
    """A `Consumer`: a claim on a queue, and how far it has read."""

    def __init__(self, plane: EnginePlane, claim: QueueClaim) -> None:
        self._plane = plane
        self._claim = claim
        self._cursor = 0
        # How far the cursor was when `receive` was called last: up to there the caller has it all.
        self._handed = 0
        self._moved = anyio.Event()
        self._tags = 0
        self._unsettled: dict[int, int] = {}
        self._delayed: set[int] = set()
        self._left = False

    async def receive(self, limit: int) -> Sequence[Delivery]:
        self._hand()
        with self._plane.notifier.subscribe(queue_topic(self._claim.partition)) as subscription:
            while True:
                self._check()
                found, due_in = await self._plane.read(
                    queues.arrived, self._claim, self._cursor, frozenset(self._delayed), limit
                )
                if found:
                    return [self._deliver(message) for message in found]
                await subscription.wait(float("inf") if due_in is None else due_in)

    async def ack(self, delivery: Delivery, receipt: Receipt) -> None:  # noqa: ARG002  (its existence is the proof)
        self._check()
        position = self._unsettled.get(delivery.tag)
        if position is not None:
            await self._plane.write(queues.ack, self._claim, position)
            self._settle(delivery.tag, position)

    async def delay(self, delivery: Delivery, seconds: float) -> None:
        self._check()
        position = self._unsettled.get(delivery.tag)
        if position is not None:
            await self._plane.write(queues.delay, self._claim, position, seconds)
            self._settle(delivery.tag, position)

    async def barrier(self) -> None:
        self._check()
        upto = await self._plane.read(queues.last, self._claim)
        while self._handed < upto:
            await self._moved.wait()
            self._check()

    def _hand(self) -> None:
        self._handed = self._cursor
        moved, self._moved = self._moved, anyio.Event()
        moved.set()

    async def leave(self) -> None:
        """Give the claim on the queue up; what was not acked waits for the next consumer."""
        if self._left:
            return
        self._left = True
        self._moved.set()
        self._plane.notifier.notify({queue_topic(self._claim.partition)})
        with anyio.move_on_after(_LEAVE_SECONDS, shield=True):
            try:
                await self._plane.write(queues.close_claim, self._claim, self._cursor)
            except JobkitError as error:
                _log.warning("a consumer could not leave in order", queue=str(self._claim.partition), error=str(error))

    def _check(self) -> None:
        if self._left:
            raise ConsumerClosed(f"this consumer of {self._claim.partition} was closed")

    def _deliver(self, message: Message) -> Delivery:
        self._tags += 1
        self._unsettled[self._tags] = message.position
        if message.delayed:
            self._delayed.add(message.position)
        else:
            self._cursor = message.position
        return _delivery(self._tags, message, self._claim.partition.priority)

    def _settle(self, tag: int, position: int) -> None:
        self._unsettled.pop(tag, None)
        self._delayed.discard(position)


def _delivery(tag: int, message: Message, priority: Priority) -> Delivery:
    try:
        envelope = Envelope.unpack(message.body).with_priority(priority)
    except (ValueError, TypeError, RecursionError) as error:
        problem = f"not an envelope: {error}"
        return Delivery(tag, message.body, None, problem, message.redelivered, Heading.of(message.body))
    return Delivery(tag, message.body, envelope, "", message.redelivered)
