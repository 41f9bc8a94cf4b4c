"""Keeping deduplication bounded: forgets what ended long ago, a little at a time."""

from __future__ import annotations

import random

from jobkit.clock import Clock
from jobkit.errors import Unavailable
from jobkit.ports.inspection import Inspection
from jobkit.telemetry import Telemetry

_EVERY_SECONDS = 60.0
_BATCH = 1_000


async def forget_forever(
    inspection: Inspection,
    *,
    older_than: float,
    keep_at_most: int,
    clock: Clock,
    entropy: random.Random,
    telemetry: Telemetry,
) -> None:
    """Forget committed jobs past `older_than` seconds or beyond `keep_at_most`, until cancelled."""
    while True:
        await clock.sleep(_EVERY_SECONDS * (0.5 + entropy.random()))
        try:
            while await inspection.forget(older_than=older_than, keep_at_most=keep_at_most, batch=_BATCH) == _BATCH:
                # Between batches the store belongs to the jobs.
                await clock.sleep(0.05)
        except Unavailable as error:
            telemetry.connection_lost(error.plane, "forgetting old jobs", error)
