"""A virtual host for each test of the backend, on the node of this test process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from jobkit.backends.rabbitmq.broker import RabbitBroker
from jobkit.lab.servers.rabbitmq import RabbitServer, shared_server
from jobkit.model.clock import SystemClock


@dataclass(frozen=True)
class Site:
    """A virtual host, and who wants to use it."""

    server: RabbitServer
    vhost: str

    def url(self, *, port: int | None = None, heartbeat: int | None = None) -> str:
        query = "" if heartbeat is None else f"?heartbeat={heartbeat}"
        return self.server.url(self.vhost, port=port) + query

    @asynccontextmanager
    async def broker(self, *, port: int | None = None, heartbeat: int | None = None) -> AsyncIterator[RabbitBroker]:
        """Open the broker as one more process would."""
        broker = RabbitBroker(self.url(port=port, heartbeat=heartbeat), SystemClock())
        try:
            yield broker
        finally:
            await broker.aclose()


@pytest.fixture
def site() -> Iterator[Site]:
    server = shared_server()
    with server.vhost() as vhost:
        try:
            yield Site(server, vhost)
        finally:
            # Whatever the test did to it.
            server.resume()
            server.start()
