"""Publishing: messages are handed over once the server confirmed that they are in the queue they were meant for.

It does not promise to do so once: where a confirm is missing it is unknown whether the message is in, and what follows
a message that was refused for the moment is published again with it.

Messages go to the queue by its name (through the default exchange), so that "routed" means into that queue; a binding
that somebody added to an exchange cannot make a lost message look delivered.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from enum import Enum

import anyio
from aiormq.exceptions import ChannelAccessRefused, ChannelPreconditionFailed, DeliveryError, PublishError

from jobkit.backends.rabbitmq.connection import Channel, Link
from jobkit.backends.rabbitmq.messages import Message
from jobkit.errors import ConfigurationError
from jobkit.model.clock import Clock

CONFIRM_SECONDS = 15.0
# So much is under way at once: each message is a task until it is confirmed, and all that is not sent yet is in memory.
_WINDOW = 500
_WINDOW_BYTES = 4 << 20
_LOOK_SECONDS = 1.0
# A quorum queue without a leader refuses messages: one that was made a moment ago, or whose node went away. What was
# refused is tried again after these pauses.
_REFUSED_SECONDS = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6)
_STOP_SECONDS = 2.0


class Answer(Enum):
    """What became of a message. `REFUSED` is one that its queue did not take, for now."""

    IN = "in"
    NO_QUEUE = "no queue"
    REFUSED = "refused"


class Publisher:
    """The one channel of a process that publishes; shared by all that do."""

    def __init__(self, link: Link, clock: Clock) -> None:
        self._link = link
        self._clock = clock
        self._channel: Channel | None = None
        self._turn = asyncio.Lock()
        self._in_flight: set[str] = set()
        self._landed = anyio.Event()

    async def publish(self, messages: Sequence[Message]) -> list[Message]:
        """Publish in this order; return those for which there was no queue, once all others are safely in theirs.

        Raises `Unavailable`, after which some may be in, or `ConfigurationError` where the server takes none such.
        """
        unroutable = []
        pauses = iter(_REFUSED_SECONDS)
        start = 0
        while start < len(messages):
            window = _window(messages, start)
            answers = await self._publish_window(window)
            done = answers.index(Answer.REFUSED) if Answer.REFUSED in answers else len(window)
            unroutable += [window[number] for number in range(done) if answers[number] is Answer.NO_QUEUE]
            start += done
            if done < len(window):
                # From that one on again, though some behind it may be in: so the order is made good by what is double.
                pause = next(pauses, None)
                if pause is None:
                    raise self._link.unavailable(f"the queue {window[done].queue} refuses messages", "publishing")
                await self._clock.sleep(pause)
        return unroutable

    async def _publish_window(self, messages: Sequence[Message]) -> list[Answer]:
        ids = {_id(message) for message in messages}
        # A message that comes back is known by its id, so one id is under way only once.
        while not self._in_flight.isdisjoint(ids):
            await self._landed.wait()
        self._in_flight |= ids
        try:
            channel = await self._ready()
            tasks = [asyncio.ensure_future(publish_one(channel, message)) for message in messages]
            await self._confirmed(channel, tasks)
            return [task.result() for task in tasks]
        finally:
            self._in_flight -= ids
            landed, self._landed = self._landed, anyio.Event()
            landed.set()

    async def _ready(self) -> Channel:
        """Return the open channel, on a connection that the server reads from."""
        async with self._turn:
            if self._channel is None or not self._channel.usable:
                self._channel = await self._link.open_channel(confirms=True)
        await self._link.check_not_blocked(self._channel.connected)
        return self._channel

    async def _confirmed(self, channel: Channel, tasks: Sequence[asyncio.Task[Answer]]) -> None:
        """Wait for every answer. Raises `Unavailable` or `ConfigurationError` where one is neither yes nor no."""
        try:
            await self._all_answered(channel, tasks)
        finally:
            for task in tasks:
                task.cancel()
            with anyio.CancelScope(shield=True):
                await asyncio.wait(tasks, timeout=_STOP_SECONDS)
        for task in tasks:
            if task.cancelled():
                raise self._link.unavailable("the connection was lost before the server confirmed", "publishing")
            error = task.exception()
            if isinstance(error, (ChannelPreconditionFailed, ChannelAccessRefused)):
                raise ConfigurationError(f"{self._link.server.shown} does not take the message: {error}") from error
            if error is not None:
                raise self._link.unavailable(str(error) or error.__class__.__name__, "publishing") from error

    async def _all_answered(self, channel: Channel, tasks: Sequence[asyncio.Task[Answer]]) -> None:
        waited = 0.0
        while (await asyncio.wait(tasks, timeout=_LOOK_SECONDS))[1]:
            # A server blocks publishers as they publish, so that none of them knows before.
            await self._link.check_not_blocked(channel.connected)
            waited += _LOOK_SECONDS
            if waited >= CONFIRM_SECONDS:
                self._link.drop(channel.connected, f"no confirm within {CONFIRM_SECONDS:g} s")
                raise self._link.unavailable(f"no confirm within {CONFIRM_SECONDS:g} s", "publishing")


def _window(messages: Sequence[Message], start: int) -> Sequence[Message]:
    """Return the messages from `start` on that may be under way together: no two with one id."""
    ids: set[str] = set()
    size = 0
    for message in messages[start : start + _WINDOW]:
        size += len(message.body)
        if ids and (_id(message) in ids or size > _WINDOW_BYTES):
            break
        ids.add(_id(message))
    return messages[start : start + len(ids)]


def _id(message: Message) -> str:
    return message.properties.message_id or ""


async def publish_one(channel: Channel, message: Message) -> Answer:
    """Publish one message and return what became of it."""
    try:
        await channel.raw.basic_publish(
            message.body,
            routing_key=message.queue,
            properties=message.properties,
            mandatory=True,
            # Without a wait for the socket, or each message would cost one; the number under way is bounded.
            wait=False,
        )
    except PublishError:
        return Answer.NO_QUEUE
    except DeliveryError:
        return Answer.REFUSED
    return Answer.IN
