"""A server that a test may kill, a place on the run's own one, and what the tests say of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from jobkit.backends.s3.blobs import S3Blobs, opened_blobs
from jobkit.lab.servers.proxy import Proxy
from jobkit.lab.servers.s3 import S3Server, shared_server, start_server
from tests.conformance.s3_harness import a_place


@pytest.fixture
def server() -> Iterator[S3Server]:
    started = start_server()
    yield started
    started.process.kill()


@pytest.fixture
async def place() -> str:
    return await a_place()


@pytest.fixture
async def blobs(place: str, tmp_path: Path) -> AsyncIterator[S3Blobs]:
    async with opened_blobs(place, scratch=tmp_path / "scratch") as opened:
        yield opened


@pytest.fixture
async def proxy() -> AsyncIterator[Proxy]:
    """Stand between a test and the run's server."""
    async with Proxy(shared_server().port) as between:
        yield between
