"""Dies at one system call of storing a blob after another; run by `test_directory_faults.py`."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from jobkit.backends.local_files.blobs import LocalFileBlobs
from jobkit.model.blob import BlobSpace
from jobkit.model.fence import Fence

# What the interpreter reports before it does it, of all that changes something on a disk or reads from it.
WATCHED = {"open", "os.link", "os.mkdir", "os.remove", "os.rename", "os.chmod", "fcntl.flock", "shutil.copyfile"}


async def store(root: Path) -> None:
    space = BlobSpace("t", "k", Fence(5, "n", "me"))
    blobs = LocalFileBlobs(root)
    await blobs.start()
    async with blobs.scratch(space) as scratch:
        (scratch / "source").write_bytes(b"whole" * 1000)
        await blobs.store(space, "a/b", scratch / "source")


def live_and_die(root: Path, calls: int) -> None:
    """Store a blob below `root`, up to that system call. Never returns."""
    left = calls

    def burn(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal left
        if event in WATCHED and str(root) in str(arguments[0]):
            if left == 0:
                os._exit(1)
            left -= 1

    sys.addaudithook(burn)
    asyncio.run(store(root))
    os._exit(0)


def main(directory: Path) -> None:
    for calls in range(1_000):
        root = directory / f"root-{calls:03}"
        root.mkdir()
        child = os.fork()
        if child == 0:
            live_and_die(root, calls)
        _, status = os.waitpid(child, 0)
        if status == 0:
            break


if __name__ == "__main__":
    main(Path(sys.argv[1]))
