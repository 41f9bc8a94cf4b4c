"""A server that a test may kill, and what the tests say of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from jobkit.lab.servers.proxy import Proxy
from jobkit.lab.servers.redis import RedisServer, start_server


@pytest.fixture
def server() -> Iterator[RedisServer]:
    started = start_server()
    yield started
    started.process.kill()


@pytest.fixture
async def proxy(server: RedisServer) -> AsyncIterator[Proxy]:
    async with Proxy(server.port) as between:
        yield between
