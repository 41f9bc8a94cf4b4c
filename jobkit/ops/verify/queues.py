"""Does every job that has yet to end still have something that will bring it to a worker?

A message, an outbox entry or a place in the in-flight table. Only their numbers can be compared, and they move while
they are read: so what is missing counts only if it is missing again and again.
"""

from __future__ import annotations

from jobkit.errors import Unavailable
from jobkit.model.clock import Clock
from jobkit.model.invariant import Invariant
from jobkit.model.plane import Plane
from jobkit.ops.verify.violation import Action, Repair, Violation
from jobkit.ports.inspection import JobState
from jobkit.ports.planes import Planes

# An outbox entry older than this, in seconds, should have been published by any worker's relay.
OUTBOX_STALE_SECONDS = 60.0
_PAGE = 1_000
_LOOKS = 4
_PAUSE_SECONDS = 0.5


async def check_outbox(planes: Planes) -> list[Violation]:
    """Find what was accepted and not published. Raises `Unavailable`."""
    left = await planes.store.outbox(older_than=OUTBOX_STALE_SECONDS, limit=_PAGE)
    problem = f"accepted more than {OUTBOX_STALE_SECONDS:g} s ago and not published: is no worker running?"
    return [
        Violation(Invariant.NOTHING_LOST, f"job {entry.envelope.id}", problem, Repair(Action.PUBLISH)) for entry in left
    ]


async def check_queues(planes: Planes, clock: Clock) -> tuple[list[Violation], str]:
    """Find jobs that nothing will bring to a worker; also return why the queues could not be read, if so.

    Raises `Unavailable` where it is the store that does not answer.
    """
    missing = 0
    for look in range(_LOOKS):
        if look:
            await clock.sleep(_PAUSE_SECONDS)
        try:
            missing = await _missing(planes)
        except Unavailable as error:
            if error.plane != Plane.BROKER:
                raise
            return [], str(error)
        if missing <= 0:
            return [], ""
    problem = (
        f"{missing} jobs are queued or running for which there is neither a message nor an entry in the outbox or the "
        "in-flight table: did the broker lose its data? Submit them again under new ids"
    )
    return [Violation(Invariant.NOTHING_LOST, "queues", problem)], ""


async def _missing(planes: Planes) -> int:
    """Return by how many the jobs that have yet to end are more than what will bring them to a worker."""
    before = await _waiting(planes)
    counts = await planes.inspection.counts()
    unfinished = counts.jobs.get(JobState.QUEUED, 0) + counts.jobs.get(JobState.RUNNING, 0)
    bringing = counts.outbox + counts.shelved
    return unfinished - bringing - max(before, await _waiting(planes))


async def _waiting(planes: Planes) -> int:
    return sum(depth.ready for depth in await planes.broker.depths())
