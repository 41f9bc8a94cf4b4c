"""A TCP proxy between a client and a server, which does to their connections what a bad network does.

It knows nothing of what it carries, and never loses or reorders bytes within a connection, as TCP does not either:
what a network takes is time, and in the end the connection.

    async with Proxy(server.port) as proxy:
        client = connect(port=proxy.port)
        proxy.delay(0.25)        # each way, so 500 ms more for a round trip
        proxy.hold()             # nothing passes and nobody is told, as when a cable was cut
        proxy.hold("down")       # the server hears, its answers do not arrive
        proxy.cut()              # every connection is reset; new ones are welcome
        proxy.refuse()           # every connection is reset, and new ones are too
        proxy.heal()             # what was held passes, and everything is as at first

What is said to the proxy goes for the connections there are and for later ones; each of `proxy.connections` can be
held, healed and cut by itself. All of it takes effect at once and nothing has to be awaited.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import deque
from types import TracebackType
from typing import Literal, Self

Direction = Literal["up", "down"]

# What a connection takes in while nothing passes, as the buffers along a real way would.
_BUFFER_BYTES = 1 << 20
# To linger for no time: closing resets the connection.
_RESET = struct.pack("ii", 1, 0)


class _Weather:
    """What all connections of a proxy are exposed to."""

    def __init__(self) -> None:
        self.delay = 0.0
        self.held: set[Direction] = set()


class _Lane:
    """One direction of a connection: what is under way, and when it may arrive."""

    def __init__(self, direction: Direction, weather: _Weather) -> None:
        self.carried = 0
        self.held = False
        self.source: asyncio.Transport | None = None
        self.target: asyncio.Transport | None = None
        self._direction = direction
        self._weather = weather
        self._under_way: deque[tuple[float, bytes]] = deque()
        self._size = 0
        self._timer: asyncio.TimerHandle | None = None

    def put(self, data: bytes) -> None:
        """Send data on its way; empty data is the end of the stream."""
        self._under_way.append((asyncio.get_running_loop().time() + self._weather.delay, data))
        self._size += len(data)
        if self._size > _BUFFER_BYTES and self.source is not None:
            self.source.pause_reading()
        self.go_on()

    def go_on(self) -> None:
        """Forward what is due, and come back for the rest."""
        loop = asyncio.get_running_loop()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._under_way and self.target is not None and not (self.held or self._direction in self._weather.held):
            due, data = self._under_way[0]
            if due > loop.time():
                self._timer = loop.call_at(due, self.go_on)
                return
            self._under_way.popleft()
            self._arrive(self.target, data)

    def stop(self) -> None:
        """Forget what is under way."""
        self._under_way.clear()
        if self._timer is not None:
            self._timer.cancel()

    def _arrive(self, target: asyncio.Transport, data: bytes) -> None:
        if not data:
            if target.can_write_eof() and not target.is_closing():
                try:
                    target.write_eof()
                except OSError:
                    # It was reset, and the loop has not heard of that yet.
                    target.abort()
            return
        target.write(data)
        self.carried += len(data)
        self._size -= len(data)
        if self._size <= _BUFFER_BYTES and self.source is not None and not self.source.is_closing():
            self.source.resume_reading()


class _End(asyncio.Protocol):
    """One of the two sockets of a connection."""

    def __init__(self, connection: ProxyConnection, out: _Lane, back: _Lane) -> None:
        self._connection = connection
        self._out = out
        self._back = back

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101  (narrows the type)
        self._out.source = transport
        self._back.target = transport
        if self._connection.is_cut:
            # Before it was whole.
            self._connection.cut()
        self._back.go_on()

    def data_received(self, data: bytes) -> None:
        self._out.put(data)

    def eof_received(self) -> bool:
        self._out.put(b"")
        # The other direction stays open.
        return True

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  (asyncio passes it by name)
        self._connection.cut()


class ProxyConnection:
    """One connection through the proxy."""

    def __init__(self, weather: _Weather) -> None:
        self._lanes: dict[Direction, _Lane] = {"up": _Lane("up", weather), "down": _Lane("down", weather)}
        self.client = _End(self, self._lanes["up"], self._lanes["down"])
        self.server = _End(self, self._lanes["down"], self._lanes["up"])
        self.is_cut = False

    def carried(self, direction: Direction) -> int:
        """Return how many bytes have arrived in this direction."""
        return self._lanes[direction].carried

    def hold(self, direction: Direction | None = None) -> None:
        """Block this connection, in one direction or in both."""
        for name, lane in self._lanes.items():
            lane.held = lane.held or direction in (None, name)

    def heal(self) -> None:
        """Forward what was held on this connection."""
        for lane in self._lanes.values():
            lane.held = False
        self.go_on()

    def cut(self) -> None:
        """Reset both sides; what is under way is lost."""
        self.is_cut = True
        for lane in self._lanes.values():
            lane.stop()
            if lane.source is not None and not lane.source.is_closing():
                raw: socket.socket = lane.source.get_extra_info("socket")
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                lane.source.abort()

    def go_on(self) -> None:
        """Look again at what may pass."""
        for lane in self._lanes.values():
            lane.go_on()


class Proxy:
    """Listens on a port of its own, on the loopback address, and passes on to another one there.

    `accepted` counts the connections that were ever made to it.
    """

    def __init__(self, target: int) -> None:
        self.port = 0
        self.accepted = 0
        self._target = target
        self._weather = _Weather()
        self._refusing = False
        self._all: list[ProxyConnection] = []
        self._server: asyncio.Server | None = None
        self._dialling: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.get_running_loop().create_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.close()
        for dialling in self._dialling:
            dialling.cancel()
        await asyncio.gather(*self._dialling, return_exceptions=True)
        self.cut()
        # A turn of the loop, in which what was cut is closed.
        await asyncio.sleep(0)

    @property
    def connections(self) -> list[ProxyConnection]:
        """The connections there are, the oldest first."""
        self._all = [connection for connection in self._all if not connection.is_cut]
        return list(self._all)

    def delay(self, seconds: float) -> None:
        """Delay whatever is sent from now on, each way."""
        self._weather.delay = seconds

    def hold(self, direction: Direction | None = None) -> None:
        """Block traffic: `up` to the server, `down` from it, or both. Connections stay, and new ones open."""
        self._weather.held |= {"up", "down"} if direction is None else {direction}

    def cut(self) -> None:
        """Reset all connections."""
        for connection in self.connections:
            connection.cut()

    def refuse(self) -> None:
        """Reset all connections, and each new one at once."""
        self._refusing = True
        self.cut()

    def lead_to(self, target: int) -> None:
        """Reset all connections, and pass new ones on to another port, as a name that has been moved does."""
        self._target = target
        self.cut()

    def heal(self) -> None:
        """Take back everything but where it leads."""
        self._refusing = False
        self._weather.delay = 0.0
        self._weather.held.clear()
        for connection in self.connections:
            connection.heal()

    def _accept(self) -> _End:
        connection = ProxyConnection(self._weather)
        self.accepted += 1
        self._all.append(connection)
        dialling = asyncio.get_running_loop().create_task(self._dial(connection))
        self._dialling.add(dialling)
        dialling.add_done_callback(self._dialling.discard)
        return connection.client

    async def _dial(self, connection: ProxyConnection) -> None:
        if self._refusing:
            connection.cut()
            return
        try:
            await asyncio.get_running_loop().create_connection(lambda: connection.server, "127.0.0.1", self._target)
        except OSError:
            # The client is told as it would be without the proxy: its connection ends.
            connection.cut()
