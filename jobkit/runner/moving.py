"""Moving deliveries to the in-flight table, to the partitions that their keys belong to."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from jobkit.model.layout import Layout
from jobkit.ports.store import Store
from jobkit.runner.pending_delivery import PendingDelivery


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
