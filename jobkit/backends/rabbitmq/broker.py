"""The broker plane on RabbitMQ: quorum queues, one consumer each, and a server that may go away at any time.

It does not keep trying: a call that finds the server gone makes or shares one attempt to reach it, and then says so.
What it declared once it makes again when the server has lost it, loudly, since the messages are lost with it.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence, Set
from contextlib import asynccontextmanager

import structlog
from aio_pika.exceptions import ChannelClosed, ChannelNotFoundEntity

from jobkit.backends.rabbitmq import publisher
from jobkit.backends.rabbitmq.address import Server
from jobkit.backends.rabbitmq.connection import Channel, Connected, Link
from jobkit.backends.rabbitmq.consumer import RabbitConsumer
from jobkit.backends.rabbitmq.declare import make, remove
from jobkit.backends.rabbitmq.delays import Delays
from jobkit.backends.rabbitmq.depths import measure, measure_dropped
from jobkit.backends.rabbitmq.exclusive_consumer import Holder, acquire_queue, holders
from jobkit.backends.rabbitmq.faults import refused
from jobkit.backends.rabbitmq.messages import Message, to_message, too_large_for
from jobkit.backends.rabbitmq.publisher import Publisher
from jobkit.backends.rabbitmq.queue_rebuild import remove_silent
from jobkit.backends.rabbitmq.topology import PREFETCH, exclusive_queue, partition_queue, topology_of
from jobkit.backends.rabbitmq.topology_check import look
from jobkit.backends.rabbitmq.type_registry import Directory
from jobkit.errors import ConfigurationError, Unavailable
from jobkit.model.clock import Clock
from jobkit.model.envelope import Envelope
from jobkit.model.partition import Partition
from jobkit.model.priority import BANDS, Priority
from jobkit.ports.broker import (
    CONFIRM_SECONDS,
    Answer,
    Deferred,
    InDoubt,
    Published,
    QueueDepth,
    Rejected,
    whole_depths,
)
from jobkit.ports.topology import TopologyPart

_log = structlog.get_logger("jobkit.rabbitmq")

PUBLISHED = Published()
# A queue that confirmed nothing so often in a row, while the server answered, is taken to be one that never will.
_SILENCES = 2

_FOREIGN_CONSUMER_LOOKS = 5
_FOREIGN_CONSUMER_PAUSE_SECONDS = 0.1


class RabbitBroker:
    """A `Broker` on a RabbitMQ server, which it first talks to when it has to."""

    def __init__(self, url: str, clock: Clock) -> None:
        server = Server.parse(url)
        # One each, because a server in trouble stops reading from connections that publish.
        self._publishing = Link(server, "publish", clock)
        self._consuming = Link(server, "consume", clock)
        self._publisher = Publisher(self._publishing, clock)
        self._delays = Delays(self._publishing, self._publisher)
        self._directory = Directory(self._publishing, self._publisher, clock)
        self._clock = clock
        self._declared: dict[str, int] = {}
        # Those types whose bands are known to be there.
        self._with_bands: set[str] = set()
        self._checked: dict[str, Connected] = {}
        self._consumers: dict[Partition, RabbitConsumer] = {}
        self._turns: defaultdict[Partition, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def declare(self, type: str, partitions: int) -> None:
        if self._declared.get(type, partitions) < partitions:
            # Of a type that is there, only who has seen it change knows that `depths` has to hear of this.
            await self.enlist(type, partitions)
        await self._ensure(type, partitions, self._publishing)
        self._declared[type] = partitions

    async def restore(self, type: str, partitions: int) -> None:
        await self._ensure(type, partitions, self._publishing)
        await self.enlist(type, partitions)

    async def remove(self, partition: Partition) -> bool:
        bands = partition.type in self._with_bands | (await self._directory.read()).with_bands
        return await remove(self._publishing, partition, bands=bands)

    async def _ensure(self, type: str, partitions: int, link: Link) -> None:
        """Make what is missing of a type; one that is new to the server is made known to `depths` first."""
        wanted = topology_of(type, partitions, bands=type in self._with_bands)
        if not await make(link, wanted, only_again=True):
            await self.enlist(type, partitions)
            await make(link, wanted)

    async def enlist(self, type: str, partitions: int) -> None:
        """Have `depths` know how many queues a type has: declaring does so when it makes the type.

        Raises `ConfigurationError` or `Unavailable`.
        """
        await self._directory.enter(type, partitions, bands=type in self._with_bands)

    async def look(self, type: str, partitions: int, *, bands: bool = False) -> Sequence[TopologyPart]:
        """Return what a type with so many partitions needs on the server, and what of it exists.

        Raises `Unavailable` or `ConfigurationError`.
        """
        return await look(self._publishing, topology_of(type, partitions, bands=bands))

    async def make_bands(self, type: str, partitions: int) -> None:
        """Make the bands of a declared type, known to `depths` first. Raises as `restore`."""
        self._with_bands.add(type)
        await self._directory.enter_bands(type, partitions)
        await self._ensure(type, partitions, self._publishing)

    @property
    def max_body_bytes(self) -> int:
        return self._publisher.max_body_bytes

    def objection(self, envelope: Envelope) -> str | None:
        return too_large_for(envelope, self.max_body_bytes)

    async def publish(
        self, messages: Sequence[tuple[Partition, Envelope]], *, timeout: float = CONFIRM_SECONDS
    ) -> Sequence[Answer]:
        answers: list[Answer] = [PUBLISHED] * len(messages)
        numbers: list[int] = []
        routed: list[Partition] = []
        outgoing: list[Message] = []
        for number, (partition, envelope) in enumerate(messages):
            if (objection := self.objection(envelope)) is not None:
                answers[number] = Rejected(objection)
            else:
                numbers.append(number)
                routed.append(partition)
                outgoing.append(to_message(envelope, partition_queue(partition)))
        if {self._publisher.silences[message.queue] > 0 for message in outgoing} == {True}:
            outcomes = await self._publish_apart(outgoing, timeout)
        else:
            outcomes = await self._publisher.publish(outgoing, timeout=timeout)
        missing = [place for place, outcome in enumerate(outcomes) if outcome.answer is publisher.Answer.NO_QUEUE]
        if missing:
            again = await self._publish_again(
                [outgoing[place] for place in missing], {routed[place] for place in missing}, timeout
            )
            for place, outcome in zip(missing, again, strict=True):
                outcomes[place] = outcome
        for number, outcome in zip(numbers, outcomes, strict=True):
            if outcome is not publisher.IN:
                answers[number] = _answer(outcome, messages[number][0])
        return answers

    async def rebuild(self, partition: Partition, covered: Callable[[], Awaitable[bool]]) -> bool:
        queue = partition_queue(partition)
        if partition.type not in self._declared or self._publisher.silences[queue] < _SILENCES:
            return False
        # On a connection of its own: what such a queue is asked may cost the channel, and that the connection.
        link = Link(self._publishing.server, "rebuild", self._clock)
        try:
            if not await remove_silent(link, queue, lambda: self._consumers.get(partition), covered, self._clock):
                return False
        finally:
            await link.aclose()
        _log.error(
            "a queue took messages and confirmed none: it is made anew, and no job is lost",
            queue=queue,
            server=self._consuming.server.shown,
        )
        self._publisher.silences.pop(queue, None)
        type = partition.type
        bands = partition.priority is not Priority.NORMAL or type in self._with_bands
        await make(self._publishing, topology_of(type, self._declared[type], bands=bands))
        return True

    @asynccontextmanager
    async def consume(self, partition: Partition, owner: str) -> AsyncIterator[RabbitConsumer]:
        consumer = await self._open(partition, owner)
        try:
            yield consumer
        finally:
            await consumer.leave()
            if self._consumers.get(partition) is consumer:
                del self._consumers[partition]

    async def depths(self) -> Sequence[QueueDepth]:
        found = await self._directory.read()
        # The directory hears of another number before a process that only submits does.
        types = {**self._declared, **found.partitions}
        partitions = [Partition(type, number) for type in sorted(types) for number in range(types[type])]
        with_bands = found.with_bands | self._with_bands
        partitions += [one.band(priority) for one in partitions if one.type in with_bands for priority in BANDS]
        here = {
            partition: Holder(consumer.owner, consumer.unsettled, consumer.markers)
            for partition, consumer in self._consumers.items()
            if consumer.open
        }
        elsewhere = await holders(self._publishing, [one for one in partitions if one not in here])
        return whole_depths(await measure(self._consuming, partitions, {**elsewhere, **here}))

    async def dropped(self) -> Mapping[str, int]:
        found = await self._directory.read()
        return await measure_dropped(self._consuming, sorted({**found.partitions, **self._declared}))

    async def aclose(self) -> None:
        for consumer in list(self._consumers.values()):
            await consumer.leave("the broker was closed in this process")
        await self._consuming.aclose()
        await self._publishing.aclose()

    # ---- publishing --------------------------------------------------------------------------------------------

    async def _publish_apart(self, messages: Sequence[Message], timeout: float) -> list[publisher.Outcome]:
        """Publish to queues that were silent, on a connection that goes with it.

        A message to a queue without a leader stops its channel for seconds, and with that all that is behind it.
        """
        link = Link(self._publishing.server, "publish apart", self._clock)
        try:
            return await Publisher(link, self._clock, self._publisher.silences).publish(messages, timeout=timeout)
        finally:
            await link.aclose()

    async def _publish_again(
        self, messages: Sequence[Message], missing: Set[Partition], timeout: float
    ) -> Sequence[publisher.Outcome]:
        """Make queues that were there once, and bands, and publish what found none. What cannot be made refuses."""
        try:
            for type in sorted({partition.type for partition in missing} & self._declared.keys()):
                await self._make_missing([one for one in missing if one.type == type], self._publishing)
            return await self._publisher.publish(messages, timeout=timeout)
        except (Unavailable, ConfigurationError) as error:
            return [publisher.Outcome(publisher.Answer.REFUSED, str(error), error)] * len(messages)

    async def _make_missing(self, missing: Sequence[Partition], link: Link) -> None:
        """Make the queues of a type some of which are missing: loudly, but for bands that may never have been there."""
        type = missing[0].type
        if type not in self._with_bands and all(one.priority is not Priority.NORMAL for one in missing):
            await self.make_bands(type, self._declared[type])
            return
        _log.error(
            "a queue that was there is gone, and what was in it is lost; it is made again",
            type=type,
            server=link.server.shown,
        )
        await self._ensure(type, self._declared[type], link)

    # ---- consuming ---------------------------------------------------------------------------------------------

    async def _open(self, partition: Partition, owner: str) -> RabbitConsumer:
        async with self._turns[partition]:
            older = self._consumers.pop(partition, None)
            if older is not None:
                await older.leave("another consumer took the queue over", owner)
            await self._check(partition.type)
            while True:
                channel = await acquire_queue(partition, owner, self._consuming, self._publisher, self._clock)
                try:
                    consumer = await self._consume_exclusively(channel, partition, owner)
                except BaseException:
                    await channel.close()
                    raise
                if consumer is not None:
                    self._consumers[partition] = consumer
                    if partition.priority is not Priority.NORMAL:
                        self._with_bands.add(partition.type)
                    return consumer

    async def _check(self, type: str) -> None:
        """See, once for each connection, that a type is still as it was declared here."""
        connected = await self._consuming.connect()
        if type in self._declared and self._checked.get(type) is not connected:
            await self._ensure(type, self._declared[type], self._consuming)
            self._checked[type] = connected

    async def _consume_exclusively(self, channel: Channel, partition: Partition, owner: str) -> RabbitConsumer | None:
        """Consume on a channel that has the exclusive queue; return None where that has to be tried again.

        Raises `ConfigurationError` where the queue does not exist.
        """
        consumer = RabbitConsumer(
            partition, owner, channel, publisher=self._publisher, delays=self._delays, clock=self._clock
        )
        doing = f"consuming {partition}"
        notices = await channel.pika.get_queue(exclusive_queue(partition), ensure=False)
        try:
            await channel.call(notices.consume(consumer.on_notice, no_ack=True), doing)
        except ChannelNotFoundEntity:
            # It was held by a consumer of this process that has just left, and went with it.
            return None
        except ChannelClosed as error:
            raise refused(self._consuming, error) from error
        try:
            await self._warn_of_foreign_consumer(channel, partition)
            await channel.call(channel.pika.set_qos(prefetch_count=PREFETCH), doing)
            await channel.consume(partition_queue(partition), consumer.on_message, doing)
        except ChannelNotFoundEntity as error:
            if partition.index >= self._declared.get(partition.type, 0):
                raise ConfigurationError(_missing(partition)) from error
            await self._make_missing([partition], self._consuming)
            return None
        except ChannelClosed as error:
            raise refused(self._consuming, error) from error
        except Unavailable:
            if consumer.open:
                raise
            # Somebody took the queue over already: it was opened, and has ended.
        return consumer

    async def _warn_of_foreign_consumer(self, channel: Channel, partition: Partition) -> None:
        """Say so where somebody consumes without the exclusive queue: only one of us will get anything."""
        queue = partition_queue(partition)
        for _ in range(_FOREIGN_CONSUMER_LOOKS):
            found = await channel.call(channel.pika.get_queue(queue), f"looking at {queue}")
            if not found.declaration_result.consumer_count:
                return
            # A consumer that has left may be counted for a moment longer.
            await self._clock.sleep(_FOREIGN_CONSUMER_PAUSE_SECONDS)
        _log.error(
            "something that is not a jobkit worker consumes this queue; its jobs wait until that has ended",
            queue=queue,
            server=self._consuming.server.shown,
        )


def _answer(outcome: publisher.Outcome, partition: Partition) -> Answer:
    match outcome.answer:
        case publisher.Answer.IN:
            return PUBLISHED
        case publisher.Answer.REJECTED:
            return Rejected(outcome.reason)
        case publisher.Answer.REFUSED:
            return Deferred(outcome.reason)
        case publisher.Answer.UNCONFIRMED:
            return InDoubt(outcome.reason)
        case publisher.Answer.NO_QUEUE:
            return Deferred(_missing(partition))


def _missing(partition: Partition) -> str:
    return f"there is no queue {partition}: declare the type, with enough partitions, first"
