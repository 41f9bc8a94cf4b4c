"""Numbers of bytes, as people read them."""

from __future__ import annotations


def byte_size(count: float) -> str:
    """Return a number of bytes as people write it: "1.5 GiB"."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"
