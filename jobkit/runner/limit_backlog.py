"""Jobs of a led partition that wait for a limit with a key: few are in hand, the others are in the in-flight table.

A tenant with ten thousand jobs would fill the prefetch otherwise, and those of the next one, whose limit has room,
would not even be looked at. Of a limit without a key all jobs of the type wait alike, so they stay in their queue.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from jobkit.model.limit import Limit
from jobkit.plugin.registry import Registry
from jobkit.runner.limit_lines import LimitLines
from jobkit.runner.pending_delivery import PendingDelivery

# Of the jobs that wait for one bucket a quarter of the prefetch may be in hand.
_SHARE_IN_HAND = 4


class LimitBacklog:
    """Which keys of a partition wait in the table, by the bucket that their first job needs."""

    def __init__(self, type: str, registry: Registry, lines: LimitLines, prefetch: int) -> None:
        # Whether jobs of the type can need different buckets of one limit.
        self.possible = any(limit.key is not None for one in registry.members(type) for limit in one.limits)
        self._lines = lines
        self._most = max(1, prefetch // _SHARE_IN_HAND)
        self._keys: dict[str, dict[str, None]] = {}
        self._limits: dict[str, Limit] = {}
        self._bucket_of: dict[str, str] = {}

    def __contains__(self, key: str) -> bool:
        return key in self._bucket_of

    def crowd(self, in_hand: Iterable[PendingDelivery]) -> list[tuple[Limit, PendingDelivery]]:
        """Return those in hand that wait for a bucket behind as many others as are kept in hand."""
        by_id = _by_id(in_hand)
        return [
            (limit, by_id[id])
            for limit in self._lines.keyed
            for id in self._waiting(limit, by_id)[self._kept_in_hand(limit) :]
        ]

    def add(self, limit: Limit, key: str) -> None:
        """Note that a key waits in the table."""
        self._keys.setdefault(limit.bucket, {})[key] = None
        self._limits[limit.bucket] = limit
        self._bucket_of[key] = limit.bucket

    def take(self, in_hand: Iterable[PendingDelivery], buckets: Collection[str] | None = None) -> Iterator[str]:
        """Take out the keys that there is room for in hand again, of some buckets or of all, in order."""
        wanted = [bucket for bucket in (self._keys if buckets is None else buckets) if bucket in self._keys]
        if not wanted:
            return
        by_id = _by_id(in_hand)
        for bucket in wanted:
            limit, keys = self._limits[bucket], self._keys[bucket]
            room = self._kept_in_hand(limit) - len(self._waiting(limit, by_id))
            for key in list(keys)[: max(0, room)]:
                self._forget(bucket, key)
                yield key

    def retain(self, keys: Collection[str]) -> None:
        """Forget all keys but these: the others have no jobs in the table any more."""
        there = set(keys)
        for key, bucket in [(key, bucket) for key, bucket in self._bucket_of.items() if key not in there]:
            self._forget(bucket, key)

    def _forget(self, bucket: str, key: str) -> None:
        del self._bucket_of[key]
        del self._keys[bucket][key]
        if not self._keys[bucket]:
            del self._keys[bucket], self._limits[bucket]

    def _kept_in_hand(self, limit: Limit) -> int:
        # One more than can be granted at once, so that the next is there when one ends.
        return min(limit.count + 1, self._most)

    def _waiting(self, limit: Limit, by_id: Collection[str]) -> list[str]:
        return [id for id in self._lines.in_line(limit.bucket) if id in by_id]


def _by_id(in_hand: Iterable[PendingDelivery]) -> dict[str, PendingDelivery]:
    return {held.job.envelope.id: held for held in in_hand if held.job.envelope is not None}
