"""A limit as the coordinator counts it: how many may have it at once, or may begin within so many seconds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limit:
    """What one job needs of one limit.

    `bucket` is what is counted for itself: the limit's name, or name, "/" and the key that the job has in it. Without
    `per` so many leases may have it at once; with it so many may be granted it within `per` seconds.
    """

    bucket: str
    count: int
    per: float | None = None

    @property
    def name(self) -> str:
        """The limit's name, without the key."""
        return self.bucket.partition("/")[0]

    @property
    def keyed(self) -> bool:
        """Whether jobs of one type can need different buckets of it."""
        return "/" in self.bucket
