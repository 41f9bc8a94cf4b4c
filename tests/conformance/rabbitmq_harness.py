"""RabbitMQ under the suite: a virtual host for each test, on a node of the tests' own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from jobkit.backends.rabbitmq.broker import RabbitBroker
from jobkit.backends.rabbitmq.topology import exchange
from jobkit.lab.servers.rabbitmq import shared_server
from jobkit.model.clock import SystemClock
from jobkit.model.partition import Partition
from jobkit.ports.broker import Broker
from jobkit.testing.conformance.harness import BrokerHarness
from tests.lab.servers.bare import publish_bare

# The harness of this name goes without the frame reader.
PLAIN_READER = "rabbitmq-plain-reader"
# Delays are counted by the server, in whole seconds, on its own clock.
_TTL = 2.0
# Until what the server's clock has made due has come back to its queue.
_GRACE_SECONDS = 0.25


@asynccontextmanager
async def rabbitmq_broker(name: str, directory: Path) -> AsyncIterator[BrokerHarness[Broker]]:
    server = shared_server()
    with server.vhost() as vhost:
        url = server.url(vhost)
        options = "?frame_reader=off" if name == PLAIN_READER else ""

        @asynccontextmanager
        async def process() -> AsyncIterator[RabbitBroker]:
            broker = RabbitBroker(url + options, SystemClock())
            try:
                yield broker
            finally:
                await broker.aclose()

        async def elapse(seconds: float) -> None:
            await asyncio.sleep(seconds + _GRACE_SECONDS)

        async def publish_raw(partition: Partition, body: bytes) -> None:
            await publish_bare(url, exchange(partition.type), str(partition.index), body)

        def limit_body(broker: RabbitBroker, limit: int, patch: pytest.MonkeyPatch) -> None:
            patch.setattr("jobkit.backends.rabbitmq.publisher.MAX_BODY_BYTES", limit)
            patch.setattr(broker._publisher, "max_body_bytes", limit)

        yield BrokerHarness(process, elapse, _TTL, publish_raw=publish_raw, limit_body=limit_body)
