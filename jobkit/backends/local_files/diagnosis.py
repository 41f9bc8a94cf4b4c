"""What must be so of a directory for jobkit to rely on it, and what is: room, permissions, hard links.

Two empty files are made in it, or beside where it is going to be, and taken away again.
"""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory

from anyio import to_thread

from jobkit.backends.disk_space import room
from jobkit.backends.local_files.blobs import LocalFileBlobs, local_root
from jobkit.backends.local_files.naming import SCRATCH
from jobkit.backends.scratch import Scratch
from jobkit.errors import NotThereYet
from jobkit.ports.diagnosis import Finding, Status


async def diagnose(url: str) -> list[Finding]:
    """Return what there is to say of the directory that `url` names. Raises `ConfigurationError`, or `NotThereYet`."""
    root = local_root(url)
    if not root.exists() and root.parent.is_dir():
        beside = await to_thread.run_sync(_links_beside, root)
        if beside.status is Status.OK:
            raise NotThereYet(f"there is no directory {root.absolute()}; the first submit or worker makes it")
        return [beside]
    blobs = LocalFileBlobs(root)
    await blobs.start()
    await blobs.aclose()
    return [await to_thread.run_sync(_links, root), room(root)]


def _links_beside(root: Path) -> Finding:
    """Return what there is to say of a directory that the first submit or worker is going to make."""
    try:
        with TemporaryDirectory(prefix=".jobkit-doctor-", dir=root.parent) as directory:
            return _links(Path(directory))
    except OSError as error:
        return Finding(Status.FAIL, f"{root} cannot be made: {error.strerror}", "choose another directory")


def _links(root: Path) -> Finding:
    scratch = Scratch(root / SCRATCH)
    try:
        directory = scratch.lend()
        (directory / "first").touch()
        os.link(directory / "first", directory / "second")
    except OSError as error:
        what = f"{root} takes no hard links, which keep files from being seen half written ({error.strerror})"
        return Finding(Status.FAIL, what, "choose a directory of this user's on a file system that has them")
    finally:
        scratch.close()
    return Finding(Status.OK, f"{root} takes files and hard links")
