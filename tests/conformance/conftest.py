"""Runs each suite on each backend of its plane."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from jobkit.ports.blobs import Blobs
from jobkit.ports.broker import Broker
from jobkit.ports.coordinator import Coordinator
from jobkit.testing.conformance.harness import BrokerHarness, FullStore, Harness
from tests.conformance.local_files_harness import directory_blobs
from tests.conformance.postgres_harness import postgres_store
from tests.conformance.rabbitmq_harness import PLAIN_READER, rabbitmq_broker
from tests.conformance.redis_harness import redis_coordinator, redis_store
from tests.conformance.s3_harness import s3_blobs
from tests.conformance.sqlite_harness import sqlite_broker, sqlite_coordinator, sqlite_store
from tests.installed import SERVERS

Maker = Callable[[str, Path], AbstractAsyncContextManager[Any]]

BROKERS: dict[str, Maker] = {
    "sqlite-file": sqlite_broker,
    "sqlite-memory": sqlite_broker,
    "rabbitmq": rabbitmq_broker,
    PLAIN_READER: rabbitmq_broker,
}
COORDINATORS: dict[str, Maker] = {
    "sqlite-file": sqlite_coordinator,
    "sqlite-memory": sqlite_coordinator,
    "redis": redis_coordinator,
}
STORES: dict[str, Maker] = {
    "sqlite-file": sqlite_store,
    "sqlite-memory": sqlite_store,
    "postgres": postgres_store,
    "redis": redis_store,
}
BLOBS: dict[str, Maker] = {"directory": directory_blobs, "s3": s3_blobs}


def _each(makers: Mapping[str, Maker]) -> list[Any]:
    """Return a parameter for each; those whose name begins with that of a server need it."""
    return [
        pytest.param(name, marks=[pytest.mark.servers(server) for server in SERVERS if name.startswith(server)])
        for name in makers
    ]


@pytest.fixture(params=_each(BROKERS))
async def broker_harness(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[BrokerHarness[Broker]]:
    async with BROKERS[request.param](request.param, tmp_path) as harness:
        yield harness


@pytest.fixture(params=_each(COORDINATORS))
async def coordinator_harness(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Harness[Coordinator]]:
    async with COORDINATORS[request.param](request.param, tmp_path) as harness:
        yield harness


@pytest.fixture(params=_each(STORES))
async def store_harness(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Harness[FullStore]]:
    async with STORES[request.param](request.param, tmp_path) as harness:
        yield harness


@pytest.fixture(params=_each(BLOBS))
async def blobs_harness(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Harness[Blobs]]:
    async with BLOBS[request.param](request.param, tmp_path) as harness:
        yield harness
