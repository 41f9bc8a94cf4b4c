"""Which partition a key belongs to, the same in every backend and for publishers in any language."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

from jobkit.model.priority import Priority


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
    """One of a job type's queues; led by at most one worker at a time.

    Of a type that knows priorities it has a band for each: brokers keep those apart, and whoever leads the partition
    has all of them.
    """

    type: str
    index: int
    priority: Priority = Priority.NORMAL

    @property
    def resource(self) -> str:
        """The name under which its leadership is leased."""
        return f"leader/{self.type}/{self.index}"

    @property
    def whole(self) -> Partition:
        """The partition that this is a band of, or itself."""
        return self.band(Priority.NORMAL)

    def band(self, priority: Priority) -> Partition:
        """Return the band of the partition's jobs of that priority; the normal one is the partition itself."""
        return self if self.priority is priority else Partition(self.type, self.index, priority)

    def __str__(self) -> str:
        name = f"{self.type}/{self.index}"
        return name if self.priority is Priority.NORMAL else f"{name}/{self.priority}"
