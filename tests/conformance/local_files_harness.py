"""Blobs in a directory under the suite."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from jobkit.backends.local_files.blobs import LocalFileBlobs
from jobkit.ports.blobs import Blobs
from jobkit.testing.conformance.harness import Harness


@asynccontextmanager
async def directory_blobs(name: str, directory: Path) -> AsyncIterator[Harness[Blobs]]:
    @asynccontextmanager
    async def process() -> AsyncIterator[LocalFileBlobs]:
        blobs = LocalFileBlobs(directory / "blobs")
        await blobs.start()
        try:
            yield blobs
        finally:
            await blobs.aclose()

    async def elapse(seconds: float) -> None:
        """Do nothing: nothing of this plane expires."""

    yield Harness(process, elapse, 1.0)
