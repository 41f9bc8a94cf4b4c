"""Keeping deduplication bounded: forgets what ended long ago, a little at a time."""

from __future__ import annotations

import random

from jobkit.errors import Unavailable
from jobkit.model.clock import Clock
from jobkit.ports.inspection import Inspection
from jobkit.telemetry import Telemetry

_EVERY_SECONDS = 60.0
_BATCH = 1_000


async def prune_forever(
    inspection: Inspection,
    *,
    older_than: float,
    keep_at_most: int,
    clock: Clock,
    rng: random.Random,
    telemetry: Telemetry,
) -> None:
    """Forget committed jobs past `older_than` seconds or beyond `keep_at_most`, until cancelled."""
    while True:
        await clock.sleep(_EVERY_SECONDS * (0.5 + rng.random()))
        try:
            while await inspection.prune(older_than=older_than, keep_at_most=keep_at_most, batch=_BATCH) == _BATCH:
                # Between batches the store belongs to the jobs.
                await clock.sleep(0.05)
        except Unavailable as error:
            telemetry.connection_lost(error.plane, "forgetting old jobs", error)
