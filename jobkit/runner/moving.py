"""Moving jobs, in the in-flight table, to the partitions that their keys belong to: deliveries, and what is there."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from jobkit.model.layout import Layout
from jobkit.model.partition import Partition
from jobkit.ports.store import Store
from jobkit.runner.pending_delivery import PendingDelivery

_PAGE = 200


async def move_shelved(store: Store, layout: Layout, partition: Partition) -> None:
    """Move in-flight jobs of a partition whose keys belong to others; each keeps its place. Raises `Unavailable`."""
    after = 0
    while page := await store.shelved(partition, limit=_PAGE, after=after):
        after = page[-1].position
        for job in page:
            right = layout.partition(partition.type, job.envelope.key)
            if right != partition:
                await store.shelve(job.envelope, right)


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

    moving = (move_all(key, jobs) for key, jobs in of_key.items())
    for outcome in await asyncio.gather(*moving, return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome
