"""An aio-pika connection on a socket of ours: one that can be closed at once, and whose frames we may read first.

It is a plain connection, which brings nothing back, and it keeps nothing of a channel that has ended.
"""

from __future__ import annotations

import asyncio
from typing import Any

import aio_pika
import aiormq
from aio_pika.abc import TimeoutType, UnderlayChannel, UnderlayConnection
from aio_pika.tools import OneShotCallback
from yarl import URL

from jobkit.backends.rabbitmq.address import Endpoint
from jobkit.backends.rabbitmq.frame_reader import FrameReader


class Sockets(aiormq.TransportFactory):
    """Opens the socket to `endpoint`, and keeps it at hand so that it can be closed without its peer's consent.

    `frames` is the reader that takes messages off it, once it is open, or None without `frame_reader`.
    """

    def __init__(self, endpoint: Endpoint, *, frame_reader: bool) -> None:
        self._endpoint = endpoint
        self.frames: FrameReader | None = None
        self._frame_reader = frame_reader
        self._transport: asyncio.WriteTransport | None = None

    async def create(self, url: URL, **options: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        context = await options["ssl_context_provider"].get_context() if url.scheme == "amqps" else None
        loop = asyncio.get_running_loop()
        if self._frame_reader:
            self.frames = FrameReader(loop)
        reader = self.frames or asyncio.StreamReader(loop=loop)
        protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
        self._transport, _ = await loop.create_connection(
            lambda: protocol,
            self._endpoint.address,
            self._endpoint.port,
            ssl=context,
            server_hostname=self._endpoint.host if context else None,
        )
        return reader, asyncio.StreamWriter(self._transport, protocol, reader, loop)

    def abort(self) -> None:
        """Close the socket at once."""
        if self._transport is not None:
            self._transport.abort()


class _Underlay(aiormq.Connection):
    """A connection that loses none of its own frames."""

    # At a full buffer aiormq drops the answer to a channel that the server closes; the server then keeps the channel,
    # and ends the connection when its number comes up again. The publisher bounds what is on its way at a time.
    FRAME_BUFFER_SIZE = 0


class PlainChannel(aio_pika.Channel):
    """A channel of aio-pika that leaves nothing at its connection, however it is opened or ends."""

    async def _open(self) -> None:
        # aio-pika's own has the connection tell it of its end, and takes that back only from a channel that it closed
        # itself: each one that the server refuses would stay for as long as the connection lives. A channel ends with
        # its connection anyway. Nor can aio-pika pass on the size of the buffer.
        transport = self._connection.transport
        if transport is None:
            raise aiormq.exceptions.ChannelInvalidStateError("the connection is not open")
        channel = await transport.connection.channel(
            self._channel_number,
            publisher_confirms=self.publisher_confirms,
            on_return_raises=self.on_return_raises,
            # Without a bound, for the prefetch is one: at a full buffer aiormq reads no more from the connection, and
            # nothing empties that of a channel which was cancelled as it opened a consumer.
            frame_buffer_size=0,
        )
        closed = OneShotCallback(self._on_close)
        channel.closing.add_done_callback(closed)
        self._channel = UnderlayChannel(channel=channel, close_callback=closed)
        await self._on_open()


class PlainConnection(aio_pika.Connection):
    """A connection of aio-pika on `sockets`; `underlay` is that of aiormq below it."""

    CHANNEL_CLASS = PlainChannel

    def __init__(self, url: URL, sockets: Sockets, name: str) -> None:
        super().__init__(url)
        self.underlay: aiormq.Connection = _Underlay(
            self.url, transport_factory=sockets, client_properties={"connection_name": name}
        )

    async def connect(self, timeout: TimeoutType = None) -> None:
        """Connect on a socket of ours, for which aio-pika has no parameter."""
        async with asyncio.timeout(timeout):
            await self.underlay.connect()
        closed = OneShotCallback(self._on_connection_close)
        self.underlay.closing.add_done_callback(closed)
        self.transport = UnderlayConnection(connection=self.underlay, close_callback=closed)
        await self._on_connected()

    async def open_channel(self, number: int, *, confirms: bool) -> tuple[PlainChannel, aiormq.Channel]:
        """Open a channel of that number; return it, and aiormq's below it.

        With `confirms` a message that no queue takes raises aio-pika's `PublishError`, one that is refused its
        `DeliveryError`.
        """
        channel = PlainChannel(self, number, publisher_confirms=confirms, on_return_raises=confirms)
        await channel.initialize()
        underlay = await channel.get_underlay_channel()
        assert isinstance(underlay, aiormq.Channel)  # noqa: S101  (it is what aiormq's connections open)
        return channel, underlay

    def __del__(self) -> None:
        """Do nothing: it is closed by who has it, and a collector has no loop to close it in."""
