"""What the tests of S3 send, and what they find there afterwards."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from pathlib import Path

from jobkit.backends.s3 import upload
from jobkit.backends.s3.blobs import S3Blobs
from jobkit.lab.servers.proxy import Proxy
from jobkit.lab.servers.s3 import shared_server
from jobkit.model.blob import BlobSpace
from jobkit.model.fence import Fence
from jobkit.testing.conformance.harness import PATIENCE_SECONDS

SPACE = BlobSpace("t", "k", Fence(5, "n.1", "me"))
MIB = 1024 * 1024
# Three parts, of which the last is short.
LARGE = 2 * upload.PART_BYTES + 5


def by_way_of(proxy: Proxy, place: str) -> str:
    return place.replace(str(shared_server().port), str(proxy.port))


def a_file(path: Path, size: int) -> Path:
    """Write a file that no two parts of are alike."""
    with path.open("wb") as file:
        for number in range(0, size, MIB):
            file.write(number.to_bytes(8, "big").ljust(min(MIB, size - number), b"x")[: size - number])
    return path


async def sha256(blobs: S3Blobs, location: str) -> str:
    digest = hashlib.sha256()
    async for chunk in blobs.read(location):
        digest.update(chunk)
    return digest.hexdigest()


async def locations(blobs: S3Blobs) -> list[str]:
    return [stored.location async for stored in blobs.objects()]


async def unfinished(blobs: S3Blobs) -> list[str]:
    return [left.location async for left in blobs.leftovers() if left.location is not None]


async def until(happened: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not await happened():  # noqa: ASYNC110  (of a server that tells nobody)
            await asyncio.sleep(0.01)
