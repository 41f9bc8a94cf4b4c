"""Dropping the files of types that keep them for the job that their group ends in, once that has ended.

Nothing goes by what was noted as that job ended: what is true is looked at anew each time. So whatever way it ended is
as good as any other, and whatever dies in between is made up for by the next look. First a key's files leave its
manifest, in a transaction that finds them unchanged, and only then their bytes go; bytes that are left by a crash in
between are garbage that `jobkit sweep` knows. Who leads the first partition of a type does it.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable, Collection, Sequence

from jobkit.errors import Unavailable
from jobkit.model.clock import Clock
from jobkit.plugin.registry import Registry
from jobkit.ports.inspection import Inspection, JobState, KeyRecord
from jobkit.ports.planes import Planes
from jobkit.projections.log_reader import all_keys
from jobkit.telemetry import Telemetry

_EVERY_SECONDS = 600.0
# Keys whose jobs are looked up at once.
_BATCH = 100
# Between batches, and between keys that something is dropped of, store and disk belong to the jobs.
_PAUSE_SECONDS = 0.01


async def drop_files_forever(
    planes: Planes,
    registry: Registry,
    types: Sequence[str],
    *,
    leads: Callable[[], Collection[str]],
    clock: Clock,
    rng: random.Random,
    telemetry: Telemetry,
) -> None:
    """Drop the files that nobody waits for of those of these types that `leads` names by then, until cancelled."""
    kept_for_groups = [type for type in types if registry.file_retention_of(type) is not None]
    while kept_for_groups:
        await clock.sleep(_EVERY_SECONDS * (0.5 + rng.random()))
        for type in sorted(set(kept_for_groups) & set(leads())):
            try:
                dropped = await _drop(planes, type, clock, lambda of: of in leads())
            except Unavailable as error:
                telemetry.connection_lost(error.plane, "dropping files of groups that have ended", error)
            else:
                if dropped:
                    telemetry.log.info("files of groups that have ended dropped", type=type, keys=dropped)


async def _drop(planes: Planes, type: str, clock: Clock, is_led: Callable[[str], bool]) -> int:
    total = 0
    async for keys in _with_files(planes.inspection, type):
        if not is_led(type):
            break
        for key in await _unwanted(planes.inspection, keys):
            if await planes.inspection.drop_files(type, key.key, key.manifest):
                total += 1
                await planes.blobs.delete([file.location for file in key.manifest])
            await clock.sleep(_PAUSE_SECONDS)
        await clock.sleep(_PAUSE_SECONDS)
    return total


async def _with_files(inspection: Inspection, type: str) -> AsyncIterator[Sequence[KeyRecord]]:
    """Yield the keys of a type that have files, some at a time."""
    batch: list[KeyRecord] = []
    async for key in all_keys(inspection, type):
        if key.manifest:
            batch.append(key)
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


async def _unwanted(inspection: Inspection, keys: Sequence[KeyRecord]) -> list[KeyRecord]:
    """Return those of keys whose files nobody waits for any more.

    A job is known as long as its group is, and that as long as the job that it ends in: where a file's job is known no
    more, nobody is left who could wait for it. A dead one may be tried again.
    """
    jobs = await inspection.records(list({file.job_id for key in keys for file in key.manifest if file.job_id}))
    ends = await inspection.states(list({job.group for job in jobs.values() if job.group is not None}))

    def is_wanted(job_id: str) -> bool:
        job = jobs.get(job_id)
        if job is None or job.group is None:
            # Who wrote it was not noted, or it is of no group: then it stays as long as its job is known.
            return job is not None or not job_id
        end = ends.get(job.group)
        return end is not None and (not end.ended or end is JobState.DEAD)

    return [key for key in keys if not any(is_wanted(file.job_id) for file in key.manifest)]
