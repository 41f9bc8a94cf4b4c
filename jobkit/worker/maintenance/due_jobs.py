"""What the time brings: jobs that are due go to the outbox and are published at once; jobs not begun in time end."""

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

    Before each page, a page of what was to have begun by now ends.
    Where several workers think that they lead, each job is released once all the same.
    """
    while True:
        await clock.sleep(_EVERY_SECONDS)
        try:
            more = True
            while more and leads():
                over = await store.expire_due(limit=_PAGE)
                for job in over:
                    telemetry.expired(job.type, job.id)
                if page := await store.release_due(limit=_PAGE):
                    await publish(page)
                more = _PAGE in (len(over), len(page))
        except Unavailable as error:
            telemetry.connection_lost(error.plane, "releasing scheduled jobs and ending expired ones", error)
