"""Does every job that has yet to end still have something that will bring it to a worker?

Jobs and messages move while they are read: so a job counts as lost only if it is found so again and again.
"""

from __future__ import annotations

from collections.abc import Sequence

from jobkit.errors import Unavailable
from jobkit.model.clock import Clock
from jobkit.model.invariant import Invariant
from jobkit.model.plane import Plane
from jobkit.ops.verify.violation import Action, Repair, Violation
from jobkit.ops.verify.whereabouts import NAMED, Place, Queue, Whereabouts, find
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


async def check_queues(planes: Planes, clock: Clock) -> tuple[list[Violation], Whereabouts | None, str]:
    """Find jobs that nothing will bring to a worker.

    Also returns where the jobs are, or why the queues could not be read. Raises `Unavailable` where it is the store
    that does not answer.
    """
    lost: list[Queue] = []
    try:
        seen = await find(planes)
        lost = [queue for queue in seen.queues if queue.missing]
        for _ in range(_LOOKS - 1):
            if not lost:
                break
            await clock.sleep(_PAUSE_SECONDS)
            seen = await find(planes)
            lost = _still(lost, seen.queues)
    except Unavailable as error:
        if error.plane != Plane.BROKER:
            raise
        return [], None, str(error)
    dropped = [_dropped(type, messages) for type, messages in seen.dropped.items() if messages]
    return [_lost(queue) for queue in lost] + dropped, seen, ""


def _still(before: Sequence[Queue], now: Sequence[Queue]) -> list[Queue]:
    """Return the partitions that lack messages now as before, with the jobs that need one now as before."""
    found = []
    current = {queue.partition: queue for queue in now}
    for earlier in before:
        queue = current.get(earlier.partition)
        if queue is None or not queue.missing:
            continue
        needed = queue.needed & earlier.needed
        both = Queue(queue.partition, needed, queue.held | earlier.held, max(queue.messages, earlier.messages))
        if both.missing:
            found.append(both)
    return found


def _lost(queue: Queue) -> Violation:
    jobs = Place(len(queue.waiting), queue.waiting[:NAMED])
    which = "They are" if queue.missing == len(queue.waiting) else "They are among"
    problem = (
        f"{queue.missing} jobs have neither a message nor an entry in the outbox or the in-flight table: did the "
        f"broker lose its data? {which} {jobs}; publishing them again does no harm to those that are not lost"
    )
    repair = Repair(Action.REPUBLISH, queue.partition.type, partition=queue.partition.index)
    return Violation(Invariant.NOTHING_LOST, f"queue {queue.partition}", problem, repair)


def _dropped(type: str, messages: int) -> Violation:
    problem = (
        f"the broker itself took {messages} messages out of the queues of this type; once the cause is mended, their "
        "jobs are published again from the store, and those messages can be purged"
    )
    return Violation(Invariant.NOTHING_LOST, f"type {type}", problem)
