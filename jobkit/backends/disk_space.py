"""How much room there is on a disk that jobkit writes to."""

from __future__ import annotations

import shutil
from pathlib import Path

from jobkit.model.byte_size import byte_size
from jobkit.ports.diagnosis import Finding, Status

# Below the first work will soon stop, below the second it is as good as stopped.
_LITTLE_BYTES = 1 << 30
_NONE_BYTES = 100 << 20


def room(directory: Path) -> Finding:
    """Return how much room there is in `directory`, which exists."""
    free = shutil.disk_usage(directory).free
    what = f"{byte_size(free)} free at {directory.absolute()}"
    if free >= _LITTLE_BYTES:
        return Finding(Status.OK, what)
    status = Status.WARN if free >= _NONE_BYTES else Status.FAIL
    return Finding(status, what, "make room, or choose another disk")
