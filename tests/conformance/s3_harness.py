"""S3 under the suite: the run's own server, one bucket, and a prefix for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from jobkit.backends.s3.blobs import S3Blobs, opened_blobs
from jobkit.lab.servers.s3 import shared_server
from jobkit.ports.blobs import Blobs
from jobkit.testing.conformance.harness import Harness

_BUCKET = "conformance"
_made: set[str] = set()


async def a_place() -> str:
    """Return the URL of an empty place on the run's server."""
    server = shared_server()
    if not _made:
        await server.make_bucket(_BUCKET)
        _made.add(_BUCKET)
    return server.url(_BUCKET, server.new_name())


@asynccontextmanager
async def s3_blobs(name: str, directory: Path) -> AsyncIterator[Harness[Blobs]]:
    url = await a_place()

    @asynccontextmanager
    async def process() -> AsyncIterator[S3Blobs]:
        async with opened_blobs(url, scratch=directory / "scratch") as blobs:
            yield blobs

    async def elapse(seconds: float) -> None:
        """Do nothing: nothing of this plane expires."""

    yield Harness(process, elapse, 1.0)
