"""Holds a scratch directory until it is killed; prints which."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from jobkit.backends.local_files.blobs import LocalFileBlobs
from jobkit.model.blob import BlobSpace
from jobkit.model.fence import Fence


async def hold(root: Path) -> None:
    async with LocalFileBlobs(root).scratch(BlobSpace("t", "k", Fence(1, "n", "me"))) as scratch:
        (scratch / "file").write_bytes(b"x")
        print(scratch, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(hold(Path(sys.argv[1])))
