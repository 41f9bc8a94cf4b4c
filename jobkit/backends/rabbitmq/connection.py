"""One connection to the server at a time, made anew when somebody needs it after it was lost.

It does not bring anything back: the channels, queues and consumers of a lost connection are gone, and who had them
opens new ones. It makes no attempt that nobody waits for. Nothing here waits without a bound: a server that does not
answer in time is treated like one that is gone.

It is a plain connection of aio-pika, never a robust one: what is brought back by itself must not be where a queue has
one consumer. What of aio-pika is used where, the package's docstring says.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar
from uuid import uuid4

import aiormq
import anyio
import structlog
from aio_pika.exceptions import ChannelClosed, ChannelInvalidStateError
from aiormq.abc import DeliveredMessage

from jobkit.backends.first_to_answer import NoneAnswered, first_to_answer
from jobkit.backends.rabbitmq.address import Endpoint, Server
from jobkit.backends.rabbitmq.faults import is_refusal, not_connected, words_of
from jobkit.backends.rabbitmq.frame_reader import Delivered, delivered
from jobkit.backends.rabbitmq.transport import PlainChannel, PlainConnection, Sockets
from jobkit.backends.versions import too_old
from jobkit.errors import ConfigurationError, Unavailable
from jobkit.model.clock import Clock
from jobkit.model.plane import Plane

T = TypeVar("T")

_log = structlog.get_logger("jobkit.rabbitmq")

CONNECT_SECONDS = 10.0
RPC_SECONDS = 10.0
_CLOSE_SECONDS = 2.0
# How long a server that has stopped to read from publishers is given before a call that wants to publish ends.
_BLOCKED_SECONDS = 1.0
# Between two attempts to connect: the first figure, doubling up to the second.
_RETRY_SECONDS = (0.1, 2.0)
OLDEST_VERSION = "3.10"
# Of a server that sets no limit: what the protocol has numbers for.
_MOST_CHANNELS = 65_535


class Blocked(Unavailable):
    """The server reads nothing from connections that publish, until it has memory and disk space again."""


@dataclass(frozen=True, slots=True, eq=False)
class Connected:
    """A connection while it lasts; another one is another object."""

    pika: PlainConnection
    sockets: Sockets
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    @property
    def connection(self) -> aiormq.Connection:
        """The connection of aiormq, below that of aio-pika."""
        return self.pika.underlay

    def free_number(self) -> int:
        """Return a number for a new channel, one that has been out of use for as long as possible.

        aiormq takes the lowest above those in use, and may do so before the server heard that the channel which had it
        is closed; the server then closes the connection. Raises `ConnectionError` where all are in use.
        """
        taken = self.connection.channels
        most = self.connection.connection_tune.channel_max or _MOST_CHANNELS
        if len(taken) >= most:
            # One more than the server allows would cost the whole connection.
            raise ConnectionError(f"the server allows {most} channels for a connection, and all are in use")
        return next(number for one in self._numbers if (number := one % most + 1) not in taken)

    @property
    def alive(self) -> bool:
        """Return whether it can still be used, as far as is known."""
        return self.connection.is_opened


class Channel:
    """An open channel whose calls are answered in time, or fail.

    `pika` is that of aio-pika, for what is asked of the server; `raw` is aiormq's below it, for the hot path.
    """

    def __init__(self, link: Link, connected: Connected, pika: PlainChannel, raw: aiormq.Channel) -> None:
        self.connected = connected
        self.pika = pika
        self.raw = raw
        self._link = link

    @property
    def usable(self) -> bool:
        """Return whether neither side has closed it, as far as is known."""
        return self.connected.alive and not self.raw.is_closed

    async def call(self, call: Coroutine[Any, Any, T], doing: str) -> T:
        """Return the server's answer to a call of this channel.

        Raises `ChannelClosed` with the server's reason where it refuses, which ends the channel, or `Unavailable`.
        """
        try:
            return await self._link.answer(self.connected, call, doing)
        except Unavailable as error:
            # What was sent without waiting for an answer may have been refused meanwhile.
            if isinstance(error.__cause__, ChannelInvalidStateError):
                # It knows that it was closed some moments before it knows why.
                await asyncio.wait([self.raw.closing], timeout=_CLOSE_SECONDS)
            if (reason := self._refusal()) is not None:
                raise reason from error
            raise

    async def consume(self, queue: str, take: Callable[[Delivered], None], doing: str) -> None:
        """Have the messages of a queue handed to `take` as they come, until the channel is closed; errors as `call`."""
        frames, number, consumer_tag = self.connected.sockets.frames, self.raw.number, uuid4().hex
        if frames is not None:
            frames.take(number, consumer_tag, take)
            self.raw.closing.add_done_callback(lambda _: frames.take_no_more(number))

        async def on_message(message: DeliveredMessage) -> None:
            # With a frame reader it comes here only as the channel closes, and then stays the server's.
            if frames is None:
                take(delivered(message))

        await self.call(self.raw.basic_consume(queue, on_message, consumer_tag=consumer_tag), doing)

    async def close(self) -> None:
        """Close the channel, whatever happens; where the server does not answer, the connection goes with it."""
        with anyio.CancelScope(shield=True):
            closing = asyncio.ensure_future(self.raw.close())
            await asyncio.wait([closing], timeout=_CLOSE_SECONDS)
            if not closing.done():
                self._link.drop(self.connected, "it does not close a channel")
                await asyncio.wait([closing], timeout=_CLOSE_SECONDS)

    def _refusal(self) -> ChannelClosed | None:
        """Return why the server closed the channel, if it did."""
        ended = self.raw.closing
        if not ended.done() or ended.cancelled():
            return None
        error = ended.exception()
        return error if is_refusal(error) else None


class Link:
    """The way to the server for one purpose. What publishes and what consumes have one each: a server that is short of
    memory or disk space stops reading from connections that publish.
    """

    def __init__(self, server: Server, purpose: str, clock: Clock) -> None:
        self.server = server
        self._purpose = purpose
        self._clock = clock
        self._connected: Connected | None = None
        self._turn = asyncio.Lock()
        self._attempts = 0
        self._failures = 0
        self._retry_at = float("-inf")
        self._trouble = ""
        self._was_connected = False
        self._closed = False
        # Where the last connection was.
        self._last: Endpoint | None = None

    async def connect(self) -> Connected:
        """Return the live connection, or make one: in one attempt, which all share who wait for it.

        Raises `Unavailable`, or `ConfigurationError` where the server refuses us. One that took us before is waited
        for: its users may be made anew, as its data were.
        """
        attempts = self._attempts
        if (live := self._live()) is not None:
            return live
        async with self._turn:
            if (live := self._live()) is not None:
                return live
            if self._attempts != attempts:
                raise Unavailable(Plane.BROKER, self._trouble)
            await self._clock.sleep(max(0.0, self._retry_at - self._clock.now()))
            try:
                self._connected = await self._attempt()
            except (Unavailable, ConfigurationError) as error:
                self._note_failure(error)
                if self._was_connected and isinstance(error, ConfigurationError):
                    raise Unavailable(Plane.BROKER, str(error)) from error
                raise
            self._failures = 0
            self._was_connected = True
            return self._connected

    async def open_channel(self, *, confirms: bool = False) -> Channel:
        """Open a channel, connecting first where that is needed; errors as for `connect`."""
        connected = await self.connect()
        await self.check_not_blocked(connected)
        opening = _open_channel(connected, confirms=confirms)
        return Channel(self, connected, *await self.answer(connected, opening, "opening a channel"))

    @asynccontextmanager
    async def channel(self, *, confirms: bool = False) -> AsyncIterator[Channel]:
        """Open a channel for the block; errors as for `connect`."""
        channel = await self.open_channel(confirms=confirms)
        try:
            yield channel
        finally:
            await channel.close()

    async def check_not_blocked(self, connected: Connected) -> None:
        """Return once the server reads from this connection. Raises `Blocked` where it has stopped to."""
        try:
            async with asyncio.timeout(_BLOCKED_SECONDS):
                await connected.connection.ready()
        except TimeoutError as error:
            what = "the server has blocked publishers, because it is short of memory or disk space"
            raise Blocked(Plane.BROKER, f"{self.server.shown}: {what} (publishing)") from error

    async def answer(self, connected: Connected, call: Coroutine[Any, Any, T], doing: str) -> T:
        """Return the server's answer to a call.

        Raises `ChannelClosed` with the server's reason where it refuses, and `Unavailable`; a server that does not
        answer loses the connection.
        """
        # In a task of its own: aiormq ends what waits on a lost connection with whatever ended that, a CancelledError
        # included, which must not look as if somebody had cancelled the caller.
        waiting = asyncio.ensure_future(call)
        waiting.add_done_callback(_on_message)
        try:
            await asyncio.wait([waiting], timeout=RPC_SECONDS)
        finally:
            unanswered = not waiting.done()
            waiting.cancel()
        if unanswered:
            self.drop(connected, f"no answer within {RPC_SECONDS:g} s to {doing}")
            raise self.unavailable(f"no answer within {RPC_SECONDS:g} s", doing)
        if waiting.cancelled():
            raise self.unavailable("the connection was lost", doing)
        error = waiting.exception()
        if error is None:
            return waiting.result()
        if is_refusal(error):
            raise error
        raise self.unavailable(words_of(error), doing) from error

    def drop(self, connected: Connected, reason: str) -> None:
        """Give a connection up at once, without a word to the server; whoever uses it gets an error."""
        if connected.alive:
            _log.warning("connection given up", server=self.server.shown, purpose=self._purpose, reason=reason)
        connected.sockets.abort()
        if self._connected is connected:
            self._connected = None

    def unavailable(self, what: str, doing: str) -> Unavailable:
        """Return the error of somebody who was doing something when `what` happened."""
        return Unavailable(Plane.BROKER, f"{self.server.shown}: {what} ({doing})")

    async def aclose(self) -> None:
        """Close the connection, and make no other."""
        self._closed = True
        connected, self._connected = self._connected, None
        if connected is not None:
            with anyio.CancelScope(shield=True):
                await _end(_close(connected.pika), _CLOSE_SECONDS, connected.sockets.abort)

    def _live(self) -> Connected | None:
        if self._closed:
            raise Unavailable(Plane.BROKER, f"{self.server.shown}: closed in this process")
        return self._connected if self._connected is not None and self._connected.alive else None

    def _note_failure(self, error: Exception) -> None:
        self._attempts += 1
        self._trouble = str(error).removeprefix("broker: ")
        first, most = _RETRY_SECONDS
        pause = min(first * 2**self._failures, most)
        self._failures = min(self._failures + 1, 30)
        self._retry_at = self._clock.now() + pause * random.uniform(0.5, 1.0)  # noqa: S311  (spreads, decides nothing)

    async def _attempt(self) -> Connected:
        """Connect to the node that answers first; the last one that did begins."""
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                endpoints = await self.server.endpoints()
        except (OSError, TimeoutError) as error:
            raise not_connected(self, error) from error
        in_order = sorted(endpoints, key=lambda endpoint: endpoint != self._last)
        try:
            endpoint, connected = await first_to_answer(
                [partial(self._attempt_at, endpoint) for endpoint in in_order], _discard
            )
        except NoneAnswered as error:
            raise self._refused_by_all(in_order, error.errors) from error.errors[0]
        self._last = endpoint
        return connected

    async def _attempt_at(self, endpoint: Endpoint) -> tuple[Endpoint, Connected]:
        sockets = Sockets(endpoint, frame_reader=self.server.frame_reader)
        name = f"jobkit {self._purpose} {socket.gethostname()}:{os.getpid()}"
        pika = PlainConnection(self.server.url, sockets, name)
        error = await _end(pika.connect(), CONNECT_SECONDS, sockets.abort)
        if error is not None:
            raise not_connected(self, error) from error
        connected = Connected(pika, sockets)
        version = str(pika.underlay.server_properties.get("version", ""))
        if (old := too_old("RabbitMQ", version, OLDEST_VERSION)) is not None:
            _discard((endpoint, connected))
            raise ConfigurationError(f"{self.server.shown}: {old}")
        return endpoint, connected

    def _refused_by_all(
        self, endpoints: Sequence[Endpoint], errors: Sequence[Exception]
    ) -> Unavailable | ConfigurationError:
        """Return what to say of a server none of whose nodes can be used."""
        wrong = [error for error in errors if isinstance(error, ConfigurationError)]
        if len(wrong) == len(errors):
            return wrong[0]
        if len(errors) == 1 and isinstance(errors[0], Unavailable):
            return errors[0]
        # Where one node refuses and another is away, the other may yet take us.
        said = [words_of(error if error.__cause__ is None else error.__cause__) for error in errors]
        each = "; ".join(f"{endpoint.shown}: {why}" for endpoint, why in zip(endpoints, said, strict=True))
        return self.unavailable(each, "connecting")


def _discard(made: tuple[Endpoint, Connected]) -> None:
    """Give up a connection that nobody has used."""
    made[1].sockets.abort()


async def _open_channel(connected: Connected, *, confirms: bool) -> tuple[PlainChannel, aiormq.Channel]:
    """Open a channel. Raises `ConnectionError` where the connection has as many as it may have."""
    return await connected.pika.open_channel(connected.free_number(), confirms=confirms)


async def _close(pika: PlainConnection) -> None:
    """Close a connection; what still waits on it ends as if it were cancelled."""
    await pika.close(asyncio.CancelledError)


def _on_message(task: asyncio.Future[Any]) -> None:
    """Take note of a task's error: where whoever waited was cancelled, it would be reported as one nobody heard of."""
    if not task.cancelled():
        task.exception()


async def _end(call: Coroutine[Any, Any, Any], seconds: float, abort: Callable[[], None]) -> BaseException | None:
    """Await `call` for so long, then `abort`; return its error, or None where it succeeded."""
    task = asyncio.ensure_future(call)
    task.add_done_callback(_on_message)
    try:
        await asyncio.wait([task], timeout=seconds)
    finally:
        if not task.done():
            abort()
            task.cancel()
    if not task.done():
        await asyncio.wait([task], timeout=_CLOSE_SECONDS)
        return TimeoutError(f"no answer within {seconds:g} s")
    return asyncio.CancelledError("the connection was lost") if task.cancelled() else task.exception()
