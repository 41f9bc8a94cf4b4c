"""The proxy does what it says, and nothing else, to what passes through it."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from jobkit.lab.servers.proxy import Proxy


@asynccontextmanager
async def echo() -> AsyncIterator[int]:
    """Run a server that sends back what it gets; yield its port."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(1 << 16):
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


@asynccontextmanager
async def dial(proxy: Proxy) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def silent(reader: asyncio.StreamReader) -> bool:
    """Return whether nothing comes for a moment."""
    try:
        async with asyncio.timeout(0.1):
            await reader.read(1)
    except TimeoutError:
        return True
    return False


async def test_bytes_pass_whole_and_in_order() -> None:
    sent = bytes(range(256)) * 20_000
    async with echo() as port, Proxy(port) as proxy, dial(proxy) as (reader, writer):
        writer.write(sent)
        assert await reader.readexactly(len(sent)) == sent
        (connection,) = proxy.connections
        assert connection.carried("up") == connection.carried("down") == len(sent)


async def test_a_delay_adds_to_each_way_and_does_not_limit_the_throughput() -> None:
    async with echo() as port, Proxy(port) as proxy, dial(proxy) as (reader, writer):
        proxy.delay(0.1)
        started = asyncio.get_running_loop().time()
        for number in range(50):
            writer.write(b"%02d" % number)
            await asyncio.sleep(0.001)
        assert await reader.readexactly(100) == b"".join(b"%02d" % number for number in range(50))
        # One after the other they would take five seconds.
        assert 0.2 <= asyncio.get_running_loop().time() - started < 4.0


async def test_what_is_held_passes_once_it_is_healed() -> None:
    async with echo() as port, Proxy(port) as proxy, dial(proxy) as (reader, writer):
        proxy.hold()
        writer.write(b"a")
        assert await silent(reader)
        proxy.heal()
        assert await reader.readexactly(1) == b"a"


async def test_a_held_proxy_takes_new_connections_and_says_nothing() -> None:
    async with echo() as port, Proxy(port) as proxy:
        proxy.hold()
        async with dial(proxy) as (reader, writer):
            writer.write(b"a")
            assert await silent(reader)


async def test_one_direction_can_be_held() -> None:
    async with echo() as port, Proxy(port) as proxy, dial(proxy) as (reader, writer):
        proxy.hold("down")
        writer.write(b"a")
        assert await silent(reader)
        (connection,) = proxy.connections
        assert (connection.carried("up"), connection.carried("down")) == (1, 0)


async def test_a_connection_held_for_long_takes_no_more_than_a_network_would() -> None:
    async with echo() as port, Proxy(port) as proxy, dial(proxy) as (reader, writer):
        proxy.hold()
        writer.write(bytes(64 << 20))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await writer.drain()
        proxy.heal()
        await reader.readexactly(64 << 20)


async def test_a_cut_resets_and_a_new_connection_works() -> None:
    async with echo() as port, Proxy(port) as proxy:
        async with dial(proxy) as (reader, writer):
            writer.write(b"a")
            await reader.readexactly(1)
            proxy.cut()
            with pytest.raises(ConnectionResetError):
                await reader.readexactly(1)
        async with dial(proxy) as (reader, writer):
            writer.write(b"b")
            assert await reader.readexactly(1) == b"b"


async def test_one_connection_can_be_cut_or_held_alone() -> None:
    async with echo() as port, Proxy(port) as proxy, dial(proxy) as (one, to_one), dial(proxy) as (other, to_other):
        for reader, writer in ((one, to_one), (other, to_other)):
            writer.write(b"a")
            await reader.readexactly(1)
        first, second = proxy.connections
        first.cut()
        with pytest.raises(ConnectionResetError):
            await one.readexactly(1)
        assert proxy.connections == [second]
        second.hold()
        to_other.write(b"b")
        assert await silent(other)
        second.heal()
        assert await other.readexactly(1) == b"b"


async def test_refused_connections_end_at_once_until_healed() -> None:
    async with echo() as port, Proxy(port) as proxy:
        proxy.refuse()
        async with dial(proxy) as (reader, writer):
            writer.write(b"a")
            with pytest.raises(ConnectionResetError):
                await reader.readexactly(1)
        proxy.heal()
        async with dial(proxy) as (reader, writer):
            writer.write(b"a")
            assert await reader.readexactly(1) == b"a"


async def test_the_end_of_a_stream_passes_and_leaves_the_other_direction_open() -> None:
    async with echo() as port, Proxy(port) as proxy, dial(proxy) as (reader, writer):
        proxy.delay(0.05)
        writer.write(b"last words")
        writer.write_eof()
        assert await reader.read() == b"last words"


async def test_a_server_that_is_not_there_ends_the_connection() -> None:
    async with echo() as port:
        pass
    async with Proxy(port) as proxy, dial(proxy) as (reader, _):
        with pytest.raises(ConnectionResetError):
            await reader.readexactly(1)


async def test_the_end_of_a_stream_to_a_server_that_is_gone_ends_the_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        async with Proxy(listener.getsockname()[1]) as proxy, dial(proxy) as (reader, writer):
            server, _ = await asyncio.to_thread(listener.accept)
            proxy.hold("up")
            writer.write_eof()
            assert await silent(reader)
            # No turn of the loop lies between the two, so nobody has told the proxy.
            server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            server.close()
            proxy.heal()
            with pytest.raises(ConnectionResetError):
                await reader.readexactly(1)
