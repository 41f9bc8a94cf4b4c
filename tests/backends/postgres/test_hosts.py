"""A URL with several hosts: whichever is the primary is used, and one that is silent keeps nobody waiting."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from jobkit.backends.postgres.address import parse_address
from jobkit.backends.postgres.connect import Connector
from jobkit.backends.postgres.diagnosis import diagnose
from jobkit.backends.postgres.pool import CONNECT_SECONDS
from jobkit.errors import ConfigurationError
from jobkit.lab.servers.proxy import Proxy
from jobkit.model.clock import SystemClock
from jobkit.ports.diagnosis import Status
from tests.backends.postgres.conftest import opened
from tests.lab.servers.postgres import TestServer


def with_hosts(url: str, *ports: int) -> str:
    """Return the URL with other ports of this machine as its hosts."""
    login, _, rest = url.partition("@")
    database = rest.partition("/")[2]
    return f"{login}@{','.join(f'127.0.0.1:{port}' for port in ports)}/{database}"


@asynccontextmanager
async def two_hosts(server: TestServer, url: str) -> AsyncIterator[tuple[Proxy, Proxy, str]]:
    """Reach one server by two ways, which stand for two hosts."""
    async with Proxy(server.port) as one, Proxy(server.port) as two:
        yield one, two, with_hosts(url, one.port, two.port)


@pytest.mark.parametrize(
    ("url", "hosts"),
    [
        ("postgresql://u:p@one:1,two/jobs", (("one", 1), ("two", 5432))),
        ("postgresql://u:p@[::1]:7,two:2/jobs", (("::1", 7), ("two", 2))),
        ("postgresql://u:p@one/jobs", (("one", 5432),)),
        ("postgresql:///jobs?host=/run/postgresql", ()),
    ],
)
def test_the_hosts_of_a_url(url: str, hosts: tuple[tuple[str, int], ...]) -> None:
    assert parse_address(url).hosts == hosts


async def test_a_host_that_takes_connections_and_never_answers_keeps_nobody_from_the_others(
    server: TestServer, url: str
) -> None:
    async with two_hosts(server, url) as (one, _, both):
        one.hold()
        # The one that is silent would have had this long to itself.
        async with asyncio.timeout(CONNECT_SECONDS), opened(both):
            pass


async def test_the_host_that_answered_last_is_asked_first(server: TestServer, url: str) -> None:
    async with two_hosts(server, url) as (one, two, both):
        connector = Connector(parse_address(both))
        one.refuse()
        (await connector.connect()).terminate()
        one.heal()
        (await connector.connect()).terminate()
        assert two.accepted == 2


async def test_where_no_host_answers_each_is_named_with_its_reason(server: TestServer, url: str) -> None:
    async with two_hosts(server, url) as (one, two, both):
        one.refuse()
        two.refuse()
        with pytest.raises(ConnectionError) as told:
            await Connector(parse_address(both)).connect()
        assert all(f"127.0.0.1:{host.port}: " in str(told.value) for host in (one, two))


async def test_a_login_that_all_refuse_is_a_wrong_setting(server: TestServer, url: str) -> None:
    async with two_hosts(server, url) as (_, _, both):
        with pytest.raises(ConfigurationError, match="password"):
            async with opened("postgresql://postgres:wrong@" + both.partition("@")[2]):
                pass


async def test_doctor_tells_of_each_host(server: TestServer, url: str) -> None:
    async with two_hosts(server, url) as (one, two, both):
        one.refuse()
        found = {finding.what: finding for finding in await diagnose(both, SystemClock())}
        assert f"127.0.0.1:{two.port} answers, the primary" in found
        (away,) = (finding for what, finding in found.items() if what.startswith(f"127.0.0.1:{one.port}"))
        assert away.status is Status.WARN
        assert "JOBKIT_STORE_URL" in away.change
