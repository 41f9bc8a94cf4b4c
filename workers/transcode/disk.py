"""Is there room for what is to be written? Looked at before, and after a failure: full disks show in odd words."""

from __future__ import annotations

import shutil
from pathlib import Path

from workers.transcode.errors import DiskFull

_MIB = 1024 * 1024
# Where less than this is left, a failure is taken for one of room.
_FULL_BYTES = 16 * _MIB


def require_room(directory: Path, needed: int, purpose: str) -> None:
    """Raise `DiskFull` where `needed` bytes do not fit beside `directory`."""
    free = shutil.disk_usage(directory).free
    if free < needed:
        raise DiskFull(
            f"no room for {purpose}: about {needed // _MIB} MiB are needed, and {free // _MIB} MiB are free where jobs "
            "work; free space there, or move it"
        )


def is_full(directory: Path) -> bool:
    """Return whether hardly anything can be written beside `directory`."""
    return shutil.disk_usage(directory).free < _FULL_BYTES


def full(directory: Path, cause: Exception) -> DiskFull:
    """Return the error that a failure on a full disk really is."""
    free = shutil.disk_usage(directory).free
    return DiskFull(
        f"the disk is full where jobs work ({free // _MIB} MiB free); free space there. It showed as: {cause}"
    )
