"""The plane under test, opened by one process of its harness. Each suite brings those that it needs with it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from jobkit.ports.blobs import Blobs
from jobkit.ports.broker import Broker
from jobkit.ports.coordinator import Coordinator
from jobkit.testing.conformance.harness import BrokerHarness, FullStore, Harness


@pytest.fixture
async def broker(broker_harness: BrokerHarness[Broker]) -> AsyncIterator[Broker]:
    """Open the broker as a process would."""
    async with broker_harness.process() as opened:
        yield opened


@pytest.fixture
async def coordinator(coordinator_harness: Harness[Coordinator]) -> AsyncIterator[Coordinator]:
    """Open the coordinator as a process would."""
    async with coordinator_harness.process() as opened:
        yield opened


@pytest.fixture
async def store(store_harness: Harness[FullStore]) -> AsyncIterator[FullStore]:
    """Open the store as a process would."""
    async with store_harness.process() as opened:
        yield opened


@pytest.fixture
async def blobs(blobs_harness: Harness[Blobs]) -> AsyncIterator[Blobs]:
    """Open the blobs as a process would."""
    async with blobs_harness.process() as opened:
        yield opened
