"""What the suites of a store use, sweeping uses too."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from jobkit.backends.local_files.blobs import LocalFileBlobs
from jobkit.testing.conformance.fixtures import store

__all__ = ["store"]


@pytest.fixture
async def files(tmp_path: Path) -> AsyncIterator[LocalFileBlobs]:
    blobs = LocalFileBlobs(tmp_path / "swept")
    await blobs.start()
    yield blobs
    await blobs.aclose()
