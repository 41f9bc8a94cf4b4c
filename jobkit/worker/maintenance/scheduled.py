"""Releasing what is due: jobs that were to run later go to the outbox, and are published at once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from jobkit.errors import Unavailable
from jobkit.model.clock import Clock
from jobkit.ports.store import OutboxEntry, Store
from jobkit.telemetry import Telemetry

# How often is looked; what is due is released after half of it, on average.
_EVERY_SECONDS = 0.5
_PAGE = 250


async def release_forever(
    store: Store,
    publish: Callable[[Sequence[OutboxEntry]], Awaitable[object]],
    *,
    leads: Callable[[], bool],
    clock: Clock,
    telemetry: Telemetry,
) -> None:
    """Release what is due while this worker `leads`, until cancelled: as fast as it is published, in order of due time.

    Where several workers think that they lead, each job is released once all the same.
    """
    while True:
        await clock.sleep(_EVERY_SECONDS)
        try:
            while leads() and (page := await store.release_due(limit=_PAGE)):
                await publish(page)
                if len(page) < _PAGE:
                    break
        except Unavailable as error:
            telemetry.connection_lost(error.plane, "releasing scheduled jobs", error)
