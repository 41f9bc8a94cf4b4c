"""A consumer: one channel, on which one partition's messages come and their acks go.

It ends with its channel and never gets another one, so a delivery's tag cannot be taken for that of a later message.
It never cancels without closing: only a closed channel gives back, to its place, what was not acked.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from uuid import uuid4

import aio_pika
import anyio
import structlog
from aio_pika.abc import AbstractIncomingMessage
from aio_pika.exceptions import ChannelInvalidStateError
from aiormq import spec

from jobkit.backends.rabbitmq.acks import Acks
from jobkit.backends.rabbitmq.connection import Channel
from jobkit.backends.rabbitmq.delays import Delays
from jobkit.backends.rabbitmq.frame_reader import Delivered
from jobkit.backends.rabbitmq.messages import addressed, delay_left, to_delivery
from jobkit.backends.rabbitmq.publisher import Publisher
from jobkit.backends.rabbitmq.topology import partition_queue
from jobkit.errors import ConfigurationError, ConsumerClosed, JobkitError, Unavailable
from jobkit.model.clock import Clock
from jobkit.model.fence import Receipt
from jobkit.model.partition import Partition
from jobkit.model.plane import Plane
from jobkit.ports.broker import Delivery

_log = structlog.get_logger("jobkit.rabbitmq")

# What may be in a message to an exclusive queue, as its type: the request to leave, and the question who holds it.
LEAVE = "jobkit.leave"
DESCRIBE = "jobkit.describe"
# The type of a message that is put into a partition's queue to see whether that confirms: consumers drop it.
PROBE = "jobkit.probe"
# The type of a message that tells its consumer, as it comes, that all before it has come.
MARKER = "jobkit.marker"

# Acks that are not enough for a frame of their own wait so long for others.
_FLUSH_SECONDS = 0.1
_LAST_FLUSH_SECONDS = 1.0
_HOP_RETRY_SECONDS = 1.0


class RabbitConsumer:
    """A `Consumer` on a channel of its own."""

    def __init__(
        self,
        partition: Partition,
        owner: str,
        channel: Channel,
        *,
        publisher: Publisher,
        delays: Delays,
        clock: Clock,
    ) -> None:
        self.partition = partition
        self.owner = owner
        self._channel = channel
        self._publisher = publisher
        self._delays = delays
        self._clock = clock
        self._arrived: deque[Delivered] = deque()
        self._unsettled: dict[int, Delivered] = {}
        # Those that are in the queue, by id, in the order they went in.
        self._markers: dict[str, asyncio.Event] = {}
        self._acks = Acks()
        self._sending = asyncio.Lock()
        self._send_planned = False
        self._flush_planned = False
        self._bell = asyncio.Event()
        self._ended = ""
        self._taken_by: str | None = None
        self._closing: asyncio.Task[None] | None = None
        channel.raw.closing.add_done_callback(self._on_channel_closed)
        channel.raw.on_consumer_cancel_callbacks.add(self._on_cancelled)

    @property
    def unsettled(self) -> int:
        """How many messages were delivered and are neither acked nor delayed."""
        return len(self._unsettled)

    @property
    def markers(self) -> int:
        """How many messages are in the queue, or were delivered, that are this consumer's own and no jobs."""
        return len(self._markers)

    @property
    def open(self) -> bool:
        """Return whether messages may still come."""
        return not self._ended

    async def receive(self, limit: int) -> Sequence[Delivery]:
        while not self._begins_with_jobs():
            self._check()
            self._bell.clear()
            await self._bell.wait()
        self._check()
        taken: list[Delivery] = []
        while self._arrived and len(taken) < limit and not _is_marker(self._arrived[0]):
            taken.append(to_delivery(self._arrived.popleft(), self.partition))
        return taken

    def _begins_with_jobs(self) -> bool:
        """Take off the markers that are next: whoever asks for more has all that came before them."""
        while self._arrived and _is_marker(self._arrived[0]):
            message = self._arrived.popleft()
            self._pass(message.properties.message_id or "")
            self._settle(message.tag)
        return bool(self._arrived)

    def _pass(self, marker: str) -> None:
        """Let go who waits for a marker, and for those before it, which are lost."""
        if marker in self._markers:
            for earlier in list(self._markers):
                self._markers.pop(earlier).set()
                if earlier == marker:
                    return

    async def ack(self, delivery: Delivery, receipt: Receipt) -> None:  # noqa: ARG002  (its existence is the proof)
        self._check()
        if delivery.tag in self._unsettled:
            self._settle(delivery.tag)

    async def delay(self, delivery: Delivery, seconds: float) -> None:
        self._check()
        message = self._unsettled.get(delivery.tag)
        if message is not None:
            await self._delays.put(self.partition, message.body, message.properties, seconds)
            self._settle(delivery.tag)

    async def barrier(self) -> None:
        self._check()
        queue = partition_queue(self.partition)
        if self._publisher.silences[queue]:
            raise Unavailable(Plane.BROKER, f"the queue {queue} confirms nothing")
        marker = uuid4().hex
        passed = self._markers[marker] = asyncio.Event()
        persistent = aio_pika.DeliveryMode.PERSISTENT
        message = aio_pika.Message(b"", message_id=marker, type=MARKER, delivery_mode=persistent)
        try:
            if await self._publisher.deliver([addressed(message, queue)]):
                raise Unavailable(Plane.BROKER, f"there is no queue {queue}")
        except JobkitError:
            # Should it be in all the same, it is taken off like one of an earlier consumer.
            self._markers.pop(marker, None)
            raise
        await passed.wait()
        self._check()

    async def leave(self, reason: str = "it was closed", taken_by: str | None = None) -> None:
        """Give back what was not acked, and the exclusive queue, be it to the owner `taken_by`."""
        self.end(reason, taken_by)
        if self._closing is not None:
            with anyio.CancelScope(shield=True):
                await asyncio.shield(self._closing)

    def end(self, reason: str, taken_by: str | None = None) -> None:
        """Let no call succeed any more, and close the channel."""
        if not self._ended:
            self._ended = reason
            self._taken_by = taken_by
            self._bell.set()
            for passed in self._markers.values():
                passed.set()
            # Not the channel's own task, which would end before it had closed the channel; `leave` waits for it.
            self._closing = asyncio.create_task(self._close())

    # ---- what the channel calls --------------------------------------------------------------------------------

    def on_message(self, message: Delivered) -> None:
        """Take a message of the partition's queue."""
        if self._ended:
            return
        self._unsettled[message.tag] = message
        self._acks.delivered(message.tag)
        if message.properties.message_type == PROBE:
            self._settle(message.tag)
        elif delay_left(message.properties) > 0:
            self._channel.raw.create_task(self._delay_further(message))
        else:
            self._arrived.append(message)
            self._bell.set()

    async def on_notice(self, message: AbstractIncomingMessage) -> None:
        """Take a message to the exclusive queue."""
        if message.type == LEAVE:
            self.end("another consumer took the queue over", message.body.decode(errors="replace") or None)
        elif message.type == DESCRIBE and message.reply_to and not self._ended:
            self._channel.raw.create_task(self._describe(message.reply_to, message.correlation_id))

    def _on_channel_closed(self, closed: asyncio.Future[None]) -> None:
        error = None if closed.cancelled() else closed.exception()
        self.end(f"its connection ended: {error}" if error is not None and str(error) else "its connection ended")

    def _on_cancelled(self, _frame: spec.Basic.Cancel) -> None:
        self.end("the server cancelled it: the queue was deleted, or moved to another node")

    # ---- within ------------------------------------------------------------------------------------------------

    def _check(self) -> None:
        if self._ended:
            reason = f"this consumer of {self.partition} is closed: {self._ended}"
            raise ConsumerClosed(reason, taken_by=self._taken_by)

    def _settle(self, tag: int) -> None:
        if self._unsettled.pop(tag, None) is None or self._ended:
            return
        self._acks.finish(tag)
        # Never sent from here: a socket that takes nothing more must not hold up who acks.
        if self._acks.enough:
            if not self._send_planned:
                self._send_planned = True
                self._channel.raw.create_task(self._send(everything=False))
        elif not self._flush_planned:
            self._flush_planned = True
            self._channel.raw.create_task(self._flush_later())

    async def _flush_later(self) -> None:
        await self._clock.sleep(_FLUSH_SECONDS)
        self._flush_planned = False
        await self._send(everything=True)

    async def _send(self, *, everything: bool) -> None:
        # One after another: a frame for many that overtook one for a single message would have acked that as well, and
        # the server closes a channel that acks something twice.
        async with self._sending:
            self._send_planned = False
            # A channel that is closed by now has given everything back, and whoever waits for a message is told.
            with suppress(ChannelInvalidStateError):
                for ack in self._acks.take(everything=everything):
                    await self._channel.raw.basic_ack(ack.tag, multiple=ack.multiple, wait=False)

    async def _delay_further(self, message: Delivered) -> None:
        """Send a message that has to wait longer than any step is on its next round, until that worked."""
        properties = message.properties
        while True:
            try:
                await self._delays.put(self.partition, message.body, properties, delay_left(properties))
            except (Unavailable, ConfigurationError) as error:
                _log.warning("a delayed message waits here instead", queue=str(self.partition), error=str(error))
                await self._clock.sleep(_HOP_RETRY_SECONDS)
            else:
                self._settle(message.tag)
                return

    async def _describe(self, asker: str, question: str | None) -> None:
        described = {"owner": self.owner, "unsettled": self.unsettled, "markers": self.markers}
        body = json.dumps(described).encode()
        answer = aio_pika.Message(body, correlation_id=question, message_id=uuid4().hex)
        try:
            await self._publisher.deliver([addressed(answer, asker)])
        except JobkitError as error:
            _log.warning("a question about a consumer stays unanswered", queue=str(self.partition), error=str(error))

    async def _close(self) -> None:
        if self._channel.usable:
            sending = asyncio.ensure_future(self._send(everything=True))
            await asyncio.wait([sending], timeout=_LAST_FLUSH_SECONDS)
            sending.cancel()
        await self._channel.close()


def _is_marker(message: Delivered) -> bool:
    return message.properties.message_type == MARKER
