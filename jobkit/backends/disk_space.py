"""How much room there is on a disk that jobkit writes to."""

from __future__ import annotations

import shutil
from pathlib import Path

from jobkit.ports.diagnosis import Finding, Severity

# Below the first work will soon stop, below the second it is as good as stopped.
_LITTLE_BYTES = 1 << 30
_NONE_BYTES = 100 << 20


def room(directory: Path) -> Finding:
    """Return how much room there is in `directory`, which exists."""
    free = shutil.disk_usage(directory).free
    what = f"{size(free)} free at {directory.absolute()}"
    if free >= _LITTLE_BYTES:
        return Finding(Severity.FINE, what)
    severity = Severity.RISK if free >= _NONE_BYTES else Severity.BROKEN
    return Finding(severity, what, "make room, or choose another disk")


def size(count: float) -> str:
    """Return a number of bytes as people write it."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"
