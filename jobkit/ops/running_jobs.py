"""Jobs that run now, found by the keys that workers hold."""

from __future__ import annotations

from collections.abc import Sequence

from jobkit.errors import Unavailable
from jobkit.model.job_filter import JobFilter
from jobkit.model.job_state import JobState
from jobkit.ops.matches import matches
from jobkit.ports.inspection import JobRecord
from jobkit.ports.planes import Planes

_LEADER = "leader"


async def running_jobs(planes: Planes, wanted: JobFilter, *, limit: int) -> Sequence[JobRecord]:
    """Return up to `limit` jobs that run and match; none where the coordinator, which knows the keys, is away.

    Raises `Unavailable` where the store is.
    """
    try:
        leases = await planes.coordinator.leases("" if wanted.type is None else f"{wanted.type}/")
    except Unavailable:
        # Those that the store finds by itself are shown.
        return []
    found: list[JobRecord] = []
    for lease in leases:
        type, _, key = lease.resource.partition("/")
        if len(found) == limit:
            break
        if type != _LEADER and (wanted.worker is None or lease.owner.startswith(wanted.worker)):
            running = await planes.inspection.jobs(type=type, key=key, state=JobState.RUNNING, limit=1)
            found += [job for job in running if matches(job, wanted)]
    return found
