"""Jobs that run now, found by the keys that workers hold."""

from __future__ import annotations

from collections.abc import Sequence

from jobkit.errors import Unavailable
from jobkit.model.job_filter import JobFilter
from jobkit.ops.matches import matches
from jobkit.ports.inspection import JobRecord
from jobkit.ports.planes import Planes

_LEADER = "leader"
_PAGE = 100


async def running_jobs(planes: Planes, wanted: JobFilter, *, limit: int) -> Sequence[JobRecord]:
    """Return up to `limit` jobs that run and match; none where the coordinator, which knows the keys, is away.

    Raises `Unavailable` where the store is.
    """
    try:
        leases = await planes.coordinator.leases("" if wanted.type is None else f"{wanted.type}/")
    except Unavailable:
        # Those that the store finds by itself are shown.
        return []
    held = [
        (type, key)
        for lease in leases
        for type, _, key in [lease.resource.partition("/")]
        if type != _LEADER and (wanted.worker is None or lease.owner.startswith(wanted.worker))
    ]
    found: list[JobRecord] = []
    for start in range(0, len(held), _PAGE):
        running = await planes.inspection.running(held[start : start + _PAGE])
        found += [job for job in running if matches(job, wanted)]
        if len(found) >= limit:
            break
    return found[:limit]
