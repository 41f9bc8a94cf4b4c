"""Moving jobs, in the in-flight table, to the partitions that their keys belong to: deliveries, and what is there."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from jobkit.model.layout import Layout
from jobkit.model.partition import Partition
from jobkit.model.side_by_side import side_by_side
from jobkit.ports.store import Store
from jobkit.runner.pending_delivery import PendingDelivery

_PAGE = 200


async def move_shelved(store: Store, layout: Layout, partition: Partition) -> bool:
    """Move in-flight jobs of a partition whose keys belong to others, in order; tell whether none is left.

    Each keeps its place, and stays as long as one of its key that is before it is in yet another partition. Raises
    `Unavailable`.
    """
    misplaced = await _misplaced(store, layout, partition)
    for key in misplaced:
        right, after = layout.partition(partition.type, key), 0
        while page := await store.shelved(partition, limit=_PAGE, key=key, after=after):
            after = page[-1].position
            for job in page:
                await store.shelve(job.envelope, right)
    return not misplaced or not await _misplaced(store, layout, partition)


async def _misplaced(store: Store, layout: Layout, partition: Partition) -> list[str]:
    """Return the keys that have jobs in flight in a partition and belong to another one."""
    found: list[str] = []
    after = ""
    while page := await store.shelved_keys(partition, limit=_PAGE, after=after):
        after = page[-1]
        found += [key for key in page if not layout.fits(partition, key)]
    return found


async def move(store: Store, layout: Layout, type: str, deliveries: Sequence[PendingDelivery]) -> None:
    """Move deliveries, those of one key in their order; each of them must be a job.

    Raises `ConsumerClosed` or `Unavailable` once nothing is under way any more: what was not moved comes again.
    """
    of_key: dict[str, list[PendingDelivery]] = {}
    for pending in deliveries:
        of_key.setdefault(pending.lane, []).append(pending)

    async def move_all(key: str, jobs: Sequence[PendingDelivery]) -> None:
        for job in jobs:
            await job.shelve(store, layout.partition(type, key))

    await side_by_side(partial(move_all, key, jobs) for key, jobs in of_key.items())
