"""Reaching a server: what is said of one that cannot be reached, to everybody who asked, soon, and without secrets."""

from __future__ import annotations

import asyncio
import gc
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import anyio
import pytest

from jobkit.backends.rabbitmq import connection
from jobkit.backends.rabbitmq.address import Server
from jobkit.backends.rabbitmq.broker import RabbitBroker
from jobkit.backends.rabbitmq.connection import Link
from jobkit.errors import ConfigurationError, Unavailable
from jobkit.lab.servers.base import free_port, require
from jobkit.lab.servers.proxy import Proxy
from jobkit.model.clock import SystemClock
from tests.backends.rabbitmq.conftest import Site
from tests.backends.rabbitmq.traffic import FIRST, ids, publish, received, until


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("amqp://host", "amqp://host:5672"),
        ("amqps://user:secret@host/v", "amqps://host:5671/v"),
        ("amqp://user:secret@[::1]:7/%2F?heartbeat=9", "amqp://[::1]:7/%2F"),
        ("amqp://us%2Cer:sec,ret@one,two:7,[::1]/v?heartbeat=9", "amqp://one:5672,two:7,[::1]:5672/v"),
    ],
)
def test_a_server_is_shown_without_what_lets_one_in(url: str, shown: str) -> None:
    assert Server.parse(url).shown == shown


@pytest.mark.parametrize(
    "url",
    [
        "amqp:",
        "amqp:///vhost",
        "amqp://user:secret@",
        "amqp://user:sec/ret@host",
        "amqp://user:secret@host:port",
        "amqp://user:secret@[host/v",
        "amqp://user:secret@host,",
        "amqp://user:secret@host,other:port/v",
        "amqp://user:secret@host?heartbeat=0",
        "amqp://user:secret@host?heartbeat=ten",
        "amqp://user:secret@host?heartbeat=61",
        "amqp://user:secret@host?frame_reader=no",
    ],
)
def test_a_url_that_cannot_work_is_refused_without_being_repeated(url: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        Server.parse(url)
    assert "sec" not in str(refused.value).replace("seconds", "")
    assert refused.value.__cause__ is None


async def test_a_wrong_password_is_named_as_such_and_not_repeated(site: Site) -> None:
    broker = RabbitBroker(site.url().replace("guest:guest", "guest:hunter2"), SystemClock())
    with pytest.raises(ConfigurationError, match="refuses the login of user 'guest'") as refused:
        await broker.declare("t", 2)
    assert "hunter2" not in str(refused.value)
    await broker.aclose()


async def test_a_login_that_is_refused_later_is_trouble_and_is_waited_for(site: Site) -> None:
    """A server that was set up anew, before somebody has made its users."""
    set_password = 'rabbit_auth_backend_internal:change_password(<<"guest">>, <<"{}">>, <<"tests">>)'
    async with Proxy(site.server.port) as proxy, site.broker(port=proxy.port) as broker:
        await broker.declare("t", 2)
        await asyncio.to_thread(site.server.call, set_password.format("other"))
        try:
            proxy.cut()
            said = ""
            async with asyncio.timeout(30):
                while "refuses the login of user 'guest'" not in said:
                    try:
                        await broker.depths()
                    except Unavailable as error:
                        said = str(error)
        finally:
            await asyncio.to_thread(site.server.call, set_password.format("guest"))
        await until(lambda: _declared(broker))


async def _declared(broker: RabbitBroker) -> bool:
    try:
        await broker.declare("t", 2)
    except Unavailable:
        return False
    return True


async def test_a_virtual_host_that_does_not_exist_is_named(site: Site) -> None:
    broker = RabbitBroker(site.server.url("nosuch"), SystemClock())
    with pytest.raises(Unavailable, match="virtual host 'nosuch'"):
        await broker.declare("t", 2)
    await broker.aclose()


async def test_a_server_that_is_not_there_is_unavailable_at_once() -> None:
    port = free_port()
    broker = RabbitBroker(f"amqp://user:hunter2@127.0.0.1:{port}/", SystemClock())
    async with asyncio.timeout(20):
        for _ in range(3):
            with pytest.raises(Unavailable, match=f"127.0.0.1:{port}") as refused:
                await broker.declare("t", 2)
            assert "hunter2" not in str(refused.value)
    await broker.aclose()


async def test_all_who_wait_share_one_attempt(site: Site) -> None:
    async with Proxy(site.server.port) as proxy:
        proxy.refuse()
        link = Link(Server.parse(site.url(port=proxy.port)), "test", SystemClock())
        answers = await asyncio.gather(*(link.connect() for _ in range(20)), return_exceptions=True)
        assert {type(answer) for answer in answers} == {Unavailable}
        assert proxy.accepted == 1
        proxy.heal()
        connected = await asyncio.gather(*(link.connect() for _ in range(20)))
        assert len(set(connected)) == 1
        assert proxy.accepted == 2
        await link.aclose()


@asynccontextmanager
async def two_nodes(site: Site) -> AsyncIterator[tuple[Proxy, Proxy, Link]]:
    """Reach one server by two ways, which stand for two nodes of a cluster."""
    async with Proxy(site.server.port) as one, Proxy(site.server.port) as two:
        url = site.url(port=one.port).replace(f":{one.port}/", f":{one.port},127.0.0.1:{two.port}/")
        link = Link(Server.parse(url), "test", SystemClock())
        try:
            yield one, two, link
        finally:
            await link.aclose()


async def test_a_node_that_takes_connections_and_never_answers_keeps_nobody_from_the_others(site: Site) -> None:
    """With its packets dropped it stopped everything for 11 minutes, two nodes being well."""
    async with two_nodes(site) as (one, _, link):
        one.hold()
        # The one that is silent has this much time to itself.
        async with asyncio.timeout(connection.CONNECT_SECONDS):
            assert (await link.connect()).alive


async def test_the_node_that_answered_last_is_asked_first(site: Site) -> None:
    async with two_nodes(site) as (one, two, link):
        one.refuse()
        first = await link.connect()
        one.heal()
        two.cut()
        await asyncio.wait([first.connection.closing])
        await link.connect()
        assert two.accepted == 2


async def test_of_several_nodes_that_fail_each_is_named_with_its_reason(site: Site) -> None:
    async with two_nodes(site) as (one, two, link):
        one.refuse()
        two.refuse()
        with pytest.raises(Unavailable) as told:
            await link.connect()
        assert all(f"127.0.0.1:{node.port}: " in str(told.value) for node in (one, two))


async def test_a_name_without_a_node_is_told(site: Site) -> None:
    link = Link(Server.parse("amqp://nowhere.invalid"), "test", SystemClock())
    with pytest.raises(Unavailable, match=r"nowhere\.invalid:5672: .*not known|failure in name"):
        await link.connect()
    await link.aclose()


async def test_attempts_that_fail_come_further_apart(site: Site) -> None:
    async with Proxy(site.server.port) as proxy:
        proxy.refuse()
        link = Link(Server.parse(site.url(port=proxy.port)), "test", SystemClock())
        times = []
        for _ in range(5):
            with pytest.raises(Unavailable):
                await link.connect()
            times.append(asyncio.get_running_loop().time())
        assert times[4] - times[3] > times[1] - times[0]
        await link.aclose()


async def test_who_is_cancelled_while_connecting_does_not_spoil_it_for_the_others(site: Site) -> None:
    async with Proxy(site.server.port) as proxy:
        proxy.hold()
        link = Link(Server.parse(site.url(port=proxy.port)), "test", SystemClock())
        first = asyncio.create_task(link.connect())
        second = asyncio.create_task(link.connect())

        async def dialled() -> bool:
            return proxy.accepted == 1

        await until(dialled)
        first.cancel()
        proxy.heal()
        assert (await second).alive
        await asyncio.gather(first, return_exceptions=True)
        await link.aclose()


async def test_a_server_that_stops_answering_is_given_up(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "RPC_SECONDS", 1.0)
    monkeypatch.setattr(connection, "CONNECT_SECONDS", 1.0)
    async with site.broker() as broker:
        await broker.declare("t", 2)
        async with broker.consume(FIRST, "me"):
            pass
        site.server.pause()
        # Both connections: the first call finds out, the second cannot connect.
        for _ in range(2):
            async with asyncio.timeout(15):
                with pytest.raises(Unavailable):
                    await broker.declare("t", 2)
                with pytest.raises(Unavailable):
                    async with broker.consume(FIRST, "me"):
                        pass
        site.server.resume()

        async def works_again() -> bool:
            try:
                await publish(broker, "a")
            except Unavailable:
                return False
            return True

        await until(works_again)


@asynccontextmanager
async def encrypted(port: int, directory: Path) -> AsyncIterator[tuple[int, Path]]:
    """Have a port that speaks TLS for one that does not; yield it, and the certificate to trust."""
    (openssl,) = require("openssl")
    certificate, key = directory / "certificate.pem", directory / "key.pem"
    make = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=test"
    files = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    await asyncio.to_thread(subprocess.run, [openssl, *make.split(), *files], check=True, capture_output=True)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(1 << 16):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        plain_reader, plain_writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(carry(reader, plain_writer), carry(plain_reader, writer))

    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context) as server:
        yield server.sockets[0].getsockname()[1], certificate


async def test_tls_works_with_a_certificate_that_is_trusted_and_with_no_other(site: Site, tmp_path: Path) -> None:
    async with encrypted(site.server.port, tmp_path) as (port, certificate):
        url = site.url(port=port).replace("amqp://", "amqps://")
        broker = RabbitBroker(f"{url}?cafile={certificate}", SystemClock())
        await broker.declare("t", 2)
        await publish(broker, "a")
        async with broker.consume(FIRST, "me") as consumer:
            assert ids(await received(consumer, 1)) == ["a"]
        await broker.aclose()
        stranger = RabbitBroker(url, SystemClock())
        with pytest.raises(ConfigurationError, match="not trusted"):
            await stranger.declare("t", 2)
        await stranger.aclose()


async def test_closing_does_not_wait_for_a_server_that_does_not_answer(site: Site) -> None:
    async with Proxy(site.server.port) as proxy:
        broker = RabbitBroker(site.url(port=proxy.port), SystemClock())
        await broker.declare("t", 2)
        await publish(broker, "a")
        async with broker.consume(FIRST, "me"):
            proxy.hold()
            async with asyncio.timeout(15):
                await broker.aclose()
        with pytest.raises(Unavailable, match="closed"):
            await publish(broker, "b")


async def test_who_is_cancelled_while_closing_leaves_no_connection_behind(site: Site) -> None:
    async with Proxy(site.server.port) as proxy:
        broker = RabbitBroker(site.url(port=proxy.port), SystemClock())
        await broker.declare("t", 2)
        async with broker.consume(FIRST, "me"):
            pass
        assert len(proxy.connections) == 2
        with anyio.CancelScope() as scope:
            scope.cancel()
            await broker.aclose()

        async def none_left() -> bool:
            return not proxy.connections

        await until(none_left)


async def test_an_error_that_comes_as_its_caller_is_cancelled_is_not_reported_as_unheard(
    caplog: pytest.LogCaptureFixture,
) -> None:
    # What earlier tests left is not this one's.
    gc.collect()
    caplog.clear()

    async def fail() -> None:
        waiting[0].cancel()
        raise ConnectionResetError

    waiting = [asyncio.create_task(connection._end(fail(), 10, lambda: None))]
    with suppress(asyncio.CancelledError):
        await waiting[0]
    waiting.clear()
    # The loop still holds what it has just woken.
    await asyncio.sleep(0)
    gc.collect()
    assert "never retrieved" not in caplog.text


@pytest.mark.parametrize(("given", "there"), [("", True), ("?frame_reader=on", True), ("?frame_reader=off", False)])
async def test_the_frame_reader_can_be_left_out(site: Site, given: str, there: bool) -> None:
    link = Link(Server.parse(site.url() + given), "test", SystemClock())
    try:
        assert ((await link.connect()).sockets.frames is not None) is there
    finally:
        await link.aclose()
