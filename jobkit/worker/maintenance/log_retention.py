"""Dropping the entries of logs that their types do not keep, a few at a time.

Never what a projection still needs: only entries of which each projection of the type, as this worker has it, has a
snapshot. Who leads the first partition of a type does it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Sequence
from typing import Any

from jobkit.errors import Unavailable
from jobkit.model.clock import Clock
from jobkit.plugin.log_retention import seconds_of
from jobkit.plugin.registry import Registry
from jobkit.ports.inspection import KeyRecord
from jobkit.ports.planes import Planes
from jobkit.projections.log_reader import all_keys
from jobkit.projections.projection import Projection
from jobkit.telemetry import Telemetry

_EVERY_SECONDS = 600.0
_BATCH = 1_000
# Entries may be kept for so much of their time too long: the longer they are kept, the seldomer all keys are looked at,
# of most of which nothing is old enough.
_LATE = 0.01
# Between keys, and between batches of one, the store belongs to the jobs.
_PAUSE_SECONDS = 0.01


async def trim_logs_forever(
    planes: Planes,
    registry: Registry,
    types: Sequence[str],
    *,
    leads: Callable[[], Collection[str]],
    clock: Clock,
    rng: random.Random,
    telemetry: Telemetry,
) -> None:
    """Drop what is not kept of the logs of these types, of those that `leads` names by then, until cancelled."""
    kept = {type: seconds_of(found) for type in types if (found := registry.log_retention_of(type)) is not None}
    # When each is to be looked at next.
    due = dict.fromkeys(kept, clock.now())
    while kept:
        await clock.sleep(_EVERY_SECONDS * (0.5 + rng.random()))
        for type in sorted(type for type in kept.keys() & leads() if due[type] <= clock.now()):
            due[type] = clock.now() + kept[type] * _LATE
            try:
                projections = registry.projections_of(type)
                dropped = await _trim(planes, type, projections, kept[type], clock, lambda of: of in leads())
            except Unavailable as error:
                due[type] = clock.now()
                telemetry.connection_lost(error.plane, "dropping entries of logs", error)
            else:
                if dropped:
                    telemetry.log.info("entries of logs dropped", type=type, entries=dropped)


async def _trim(
    planes: Planes,
    type: str,
    projections: Sequence[Projection[Any]],
    older_than: float,
    clock: Clock,
    is_led: Callable[[str], bool],
) -> int:
    total = 0
    async for key in all_keys(planes.inspection, type):
        if not is_led(type):
            break
        if key.log_length == key.log_trimmed:
            continue
        upto, gone = await _spared(planes, key, projections), 1
        while upto > key.log_trimmed and gone:
            gone = await planes.inspection.trim_log(type, key.key, upto=upto, older_than=older_than, limit=_BATCH)
            total += gone
            await clock.sleep(_PAUSE_SECONDS)
    return total


async def _spared(planes: Planes, key: KeyRecord, projections: Sequence[Projection[Any]]) -> int:
    """Return up to which position nobody needs the log: each projection has a snapshot of what comes before."""
    upto = key.log_length
    for projection in projections:
        snapshot = projection.load(await planes.store.record(key.type, key.key, projection.snapshot))
        upto = min(upto, 0 if snapshot is None else snapshot.position)
    return upto
