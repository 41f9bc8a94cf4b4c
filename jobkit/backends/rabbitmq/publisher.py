"""Publishing: each message is answered by itself, and counts as published once the server confirmed that it is in the
queue it was meant for.

It does not promise to do so once: where a confirm is missing it is unknown whether the message is in, and what follows
such a message in its queue is to be published again with it.

Messages go to the queue by its name (through the default exchange), so that "routed" means into that queue; a binding
that somebody added to an exchange cannot make a lost message look delivered.

A channel that met trouble is used no more: one whose queue had no leader is refused until that queue's old node is
back, where a new channel is not.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

import anyio
from aio_pika.exceptions import ChannelPreconditionFailed, DeliveryError, PublishError
from aiormq.exceptions import ChannelAccessRefused

from jobkit.backends.rabbitmq.connection import Blocked, Channel, Connected, Link
from jobkit.backends.rabbitmq.messages import MAX_BODY_BYTES, Message
from jobkit.errors import ConfigurationError, Unavailable
from jobkit.model.clock import Clock

CONFIRM_SECONDS = 15.0
# So much is under way at once: each message is a task until it is confirmed, and all that is not sent yet is in memory.
_WINDOW = 500
_WINDOW_BYTES = 4 << 20
_LOOK_SECONDS = 1.0
# A quorum queue without a leader refuses messages: one that was made a moment ago, or whose node went away. What was
# refused is tried again after these pauses.
_REFUSED_SECONDS = (0.05, 0.1, 0.2, 0.4, 0.8)
_STOP_SECONDS = 2.0
_TOO_LARGE = re.compile(r"message size (\d+).* (?:max|maximum)\D*size (\d+)", re.DOTALL)


class Answer(Enum):
    """What became of a message.

    `REFUSED` is one that its queue did not take, for now, or that stood behind such a one; `REJECTED` one that the
    server never takes; `UNCONFIRMED` one of which the server said nothing in time.
    """

    IN = "in"
    NO_QUEUE = "no queue"
    REFUSED = "refused"
    REJECTED = "rejected"
    UNCONFIRMED = "unconfirmed"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a message, why, and the error that said so where there was one."""

    answer: Answer
    reason: str = ""
    error: Exception | None = None


IN = Outcome(Answer.IN)


class Publisher:
    """One channel that publishes, shared by all that do; a new one after each trouble.

    `silences` counts how often in a row a queue did not confirm what it was given: its trouble, or the server's.
    """

    def __init__(self, link: Link, clock: Clock, silences: Counter[str] | None = None) -> None:
        self.silences: Counter[str] = Counter() if silences is None else silences
        # The largest body that the server is known to take.
        self.max_body_bytes = MAX_BODY_BYTES
        self._learnt_on: Connected | None = None
        self._link = link
        self._clock = clock
        self._channel: Channel | None = None
        self._turn = asyncio.Lock()
        self._users: Counter[Channel] = Counter()
        self._in_flight: set[str] = set()
        self._landed = anyio.Event()

    async def publish(self, messages: Sequence[Message], *, timeout: float | None = None) -> list[Outcome]:
        """Publish in this order; return one outcome for each message, within about `timeout` seconds.

        In one queue, what stands behind a message that is not in is never `IN`. Raises `Unavailable` where no message
        could be sent.
        """
        deadline = self._clock.now() + (CONFIRM_SECONDS if timeout is None else timeout)
        outcomes: list[Outcome] = []
        stuck: dict[str, Outcome] = {}
        while len(outcomes) < len(messages):
            window = _window(messages, len(outcomes))
            try:
                outcomes += await self._publish_window(window, stuck, deadline)
            except Unavailable as error:
                if not outcomes:
                    raise
                rest = len(messages) - len(outcomes)
                outcomes += [Outcome(Answer.REFUSED, str(error), error)] * rest
        return outcomes

    async def deliver(self, messages: Sequence[Message]) -> list[Message]:
        """Publish all; return those for which there is no queue, once all others are safely in theirs.

        Raises `Unavailable`, after which some may be in, or `ConfigurationError` where the server takes none such.
        """
        unroutable = []
        for message, outcome in zip(messages, await self.publish(messages), strict=True):
            match outcome.answer:
                case Answer.IN:
                    pass
                case Answer.NO_QUEUE:
                    unroutable.append(message)
                case Answer.REJECTED:
                    raise ConfigurationError(outcome.reason) from outcome.error
                case Answer.REFUSED | Answer.UNCONFIRMED:
                    if isinstance(outcome.error, Unavailable):
                        raise outcome.error
                    if isinstance(outcome.error, ChannelAccessRefused):
                        raise ConfigurationError(outcome.reason) from outcome.error
                    raise self._link.unavailable(outcome.reason, "publishing") from outcome.error
        return unroutable

    async def _publish_window(
        self, messages: Sequence[Message], stuck: dict[str, Outcome], deadline: float
    ) -> list[Outcome]:
        """Publish messages whose ids differ; `stuck` are the queues that take no more, and grows here."""
        outcomes = await self._send(messages, stuck, deadline)
        for pause in _REFUSED_SECONDS:
            again = _refused(messages, outcomes, stuck)
            if not again or self._clock.now() + pause >= deadline:
                break
            await self._clock.sleep(pause)
            repeated = await self._send([messages[number] for number in again], stuck, deadline)
            for number, outcome in zip(again, repeated, strict=True):
                outcomes[number] = outcome
        for message, outcome in zip(messages, outcomes, strict=True):
            if outcome.answer not in (Answer.IN, Answer.REJECTED):
                stuck.setdefault(message.queue, outcome)
        return outcomes

    async def _send(self, messages: Sequence[Message], stuck: dict[str, Outcome], deadline: float) -> list[Outcome]:
        """Publish once, whatever of it the server can take; then see to the order within each queue."""
        outcomes: dict[int, Outcome] = {}
        for number, message in enumerate(messages):
            if message.queue in stuck:
                outcomes[number] = _behind(stuck[message.queue])
            elif len(message.body) > self.max_body_bytes:
                outcomes[number] = self._too_large(message)
        left = [number for number in range(len(messages)) if number not in outcomes]
        await self._send_all(messages, left, outcomes, deadline)
        return _in_order(messages, [outcomes[number] for number in range(len(messages))])

    async def _send_all(
        self, messages: Sequence[Message], numbers: Sequence[int], outcomes: dict[int, Outcome], deadline: float
    ) -> None:
        """Publish those messages, and find out which of them the server closes the channel over."""
        if not numbers:
            return
        answers = await self._send_once([messages[number] for number in numbers], deadline)
        outcomes |= dict(zip(numbers, answers, strict=True))
        unsure = [number for number in numbers if isinstance(outcomes[number].error, ChannelPreconditionFailed)]
        if not unsure:
            return
        reason = str(outcomes[unsure[0]].error)
        if len(unsure) == 1:
            outcomes[unsure[0]] = Outcome(Answer.REJECTED, self._says(reason), outcomes[unsure[0]].error)
            return
        if self._clock.now() >= deadline:
            return
        self._learn(reason)
        large = [number for number in unsure if len(messages[number].body) > self.max_body_bytes]
        for number in large:
            outcomes[number] = self._too_large(messages[number])
        rest = [number for number in unsure if number not in large]
        # Without a size to go by, it is one of them: by halves, it is alone soon.
        half = len(rest) if large else len(rest) // 2
        await self._send_all(messages, rest[:half], outcomes, deadline)
        await self._send_all(messages, rest[half:], outcomes, deadline)

    async def _send_once(self, messages: Sequence[Message], deadline: float) -> list[Outcome]:
        ids = {_id(message) for message in messages}
        # A message that comes back is known by its id, so one id is under way only once.
        while not self._in_flight.isdisjoint(ids):
            await self._landed.wait()
        self._in_flight |= ids
        try:
            channel = await self._ready()
            self._users[channel] += 1
            try:
                outcomes = await self._confirmed(channel, messages, deadline)
            finally:
                await self._leave(channel)
            self._listen(messages, outcomes)
        finally:
            self._in_flight -= ids
            landed, self._landed = self._landed, anyio.Event()
            landed.set()
        return outcomes

    async def _ready(self) -> Channel:
        """Return the open channel, on a connection that the server reads from."""
        async with self._turn:
            if self._channel is None or not self._channel.usable:
                channel = self._channel = await self._link.open_channel(confirms=True)
                if channel.connected is not self._learnt_on:
                    # Limits change with a restart of the server at the earliest.
                    self._learnt_on, self.max_body_bytes = channel.connected, MAX_BODY_BYTES
        await self._link.check_not_blocked(self._channel.connected)
        return self._channel

    async def _leave(self, channel: Channel) -> None:
        """Close a channel that is used no more, once nobody waits on it; a server that cannot, loses the connection."""
        self._users[channel] -= 1
        if self._users[channel] > 0:
            return
        del self._users[channel]
        if channel is not self._channel and channel.usable:
            await channel.close()

    def _listen(self, messages: Sequence[Message], outcomes: Sequence[Outcome]) -> None:
        """Count how often queues took messages and did not confirm in time."""
        if not self.silences and all(outcome is IN for outcome in outcomes):
            return
        silent = set()
        for message, outcome in zip(messages, outcomes, strict=True):
            if outcome is IN:
                self.silences.pop(message.queue, None)
            elif outcome.answer is Answer.UNCONFIRMED and outcome.error is None:
                silent.add(message.queue)
        self.silences.update(silent)

    async def _confirmed(self, channel: Channel, messages: Sequence[Message], deadline: float) -> list[Outcome]:
        """Send messages and wait for their answers until the deadline."""
        tasks = [asyncio.ensure_future(publish_one(channel, message)) for message in messages]
        silence = Outcome(Answer.UNCONFIRMED, "the server confirmed it in no time")
        try:
            silence = await self._all_answered(channel, tasks, deadline)
        finally:
            unanswered = {task for task in tasks if not task.done()}
            for task in unanswered:
                task.cancel()
            if unanswered:
                with anyio.CancelScope(shield=True):
                    await asyncio.wait(unanswered, timeout=_STOP_SECONDS)
        outcomes = [
            silence if task in unanswered else self._outcome(task, message)
            for task, message in zip(tasks, messages, strict=True)
        ]
        troubled = any(outcome.answer in (Answer.REFUSED, Answer.UNCONFIRMED) for outcome in outcomes)
        # One that is blocked is in order: what is on it comes through once the server reads again.
        if troubled and not isinstance(silence.error, Blocked) and self._channel is channel:
            self._channel = None
        return outcomes

    async def _all_answered(self, channel: Channel, tasks: Sequence[asyncio.Task[Answer]], deadline: float) -> Outcome:
        """Wait for every answer until the deadline; return what is to be said of those that have none."""
        started = self._clock.now()
        while True:
            patience = max(0.0, min(_LOOK_SECONDS, deadline - self._clock.now()))
            if not (await asyncio.wait(tasks, timeout=patience))[1]:
                return IN
            try:
                # A server blocks publishers as they publish, so that none of them knows before.
                await self._link.check_not_blocked(channel.connected)
            except Unavailable as error:
                return Outcome(Answer.UNCONFIRMED, str(error), error)
            if self._clock.now() >= deadline:
                return Outcome(Answer.UNCONFIRMED, f"no confirm within {deadline - started:.1f} s")

    def _outcome(self, task: asyncio.Task[Answer], message: Message) -> Outcome:
        if task.cancelled():
            return Outcome(Answer.UNCONFIRMED, "the connection was lost before the server confirmed")
        error = task.exception()
        match error:
            case None if task.result() is Answer.IN:
                return IN
            case None if task.result() is Answer.REFUSED:
                return Outcome(Answer.REFUSED, f"the queue {message.queue} refuses messages")
            case None:
                return Outcome(task.result())
            case ChannelAccessRefused():
                # Of the user, not of the message: it is taken once somebody has mended the permissions.
                return Outcome(Answer.REFUSED, self._says(str(error)), error)
            case Exception():
                return Outcome(Answer.UNCONFIRMED, str(error) or error.__class__.__name__, error)
            case _:
                raise error

    def _learn(self, reason: str) -> None:
        """Take note of the largest size, where the server tells."""
        found = _TOO_LARGE.search(reason)
        if found is not None and int(found[1]) > int(found[2]):
            self.max_body_bytes = min(self.max_body_bytes, int(found[2]))

    def _too_large(self, message: Message) -> Outcome:
        size = len(message.body)
        return Outcome(Answer.REJECTED, f"its payload has {size} bytes, this server takes {self.max_body_bytes}")

    def _says(self, reason: str) -> str:
        self._learn(reason)
        return f"{self._link.server.shown} does not take the message: {reason}"


def _behind(outcome: Outcome) -> Outcome:
    """Return the outcome of what stands behind a message in its queue that is not in."""
    if outcome.answer is Answer.NO_QUEUE:
        return outcome
    return Outcome(Answer.REFUSED, f"behind a message that is not in: {outcome.reason or outcome.answer.value}")


def _refused(messages: Sequence[Message], outcomes: Sequence[Outcome], stuck: Mapping[str, Outcome]) -> Sequence[int]:
    """Return the numbers of messages to publish again at once: from each queue's first refused one on."""
    first: dict[str, Outcome] = {}
    again = []
    for number, (message, outcome) in enumerate(zip(messages, outcomes, strict=True)):
        if outcome.answer not in (Answer.IN, Answer.REJECTED) and message.queue not in stuck:
            before = first.setdefault(message.queue, outcome)
            if before.answer is Answer.REFUSED and before.error is None:
                again.append(number)
    return again


def _in_order(messages: Sequence[Message], outcomes: list[Outcome]) -> list[Outcome]:
    """Take back what is in behind a message of its queue that is not: it has to be published again behind that."""
    if all(outcome is IN for outcome in outcomes):
        return outcomes
    first: dict[str, Outcome] = {}
    for number, (message, outcome) in enumerate(zip(messages, outcomes, strict=True)):
        if outcome is not IN:
            if outcome.answer is not Answer.REJECTED:
                first.setdefault(message.queue, outcome)
        elif message.queue in first:
            outcomes[number] = _behind(first[message.queue])
    return outcomes


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
