"""Which partition a key belongs to, the same in every backend and for publishers in any language."""

from __future__ import annotations

import zlib
from dataclasses import dataclass


def partition_of(key: str, partitions: int) -> int:
    """Return crc32(UTF-8 key) mod `partitions` (CRC-32 as in RFC 1952), in 0..partitions-1."""
    return slot_of(key) % partitions


def slot_of(key: str | None) -> int:
    """Return what a job's partition is the remainder of, however many partitions there are: crc32(UTF-8 key).

    Without a key it is that of the empty one.
    """
    return zlib.crc32((key or "").encode())


@dataclass(frozen=True, slots=True, order=True)
class Partition:
    """One of a job type's queues; led by at most one worker at a time."""

    type: str
    index: int

    @property
    def resource(self) -> str:
        """The name under which its leadership is leased."""
        return f"leader/{self.type}/{self.index}"

    def __str__(self) -> str:
        return f"{self.type}/{self.index}"
