"""Where is each job that has yet to end, and what will bring it to a worker?

The store tells of the outbox, the in-flight table, parked and dead jobs. A job that is nowhere there needs a message,
and a broker tells no ids, only how much waits in each partition. So partition by partition the jobs that need a message
are compared with the messages there are: where there are fewer, that many jobs are lost, and publishing all of them
again brings those back and does the others no harm. Where a foreign publisher's messages wait as well, they stand in
for as many; so what is lost is never told too high.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field

from jobkit.model.layout import Layout
from jobkit.model.partition import Partition
from jobkit.ports.adrift import Adrift
from jobkit.ports.inspection import JobState
from jobkit.ports.planes import Planes

# So many ids of one place are named; the others are counted.
NAMED = 20
_PAGE = 500


@dataclass(frozen=True, slots=True)
class Place:
    """How many jobs are in one place, and the ids of the first of them."""

    jobs: int
    ids: Sequence[str] = ()

    def __str__(self) -> str:
        others = self.jobs - len(self.ids)
        named = ", ".join(self.ids)
        return f"{named} and {others} more" if self.ids and others else named or str(self.jobs)


@dataclass(frozen=True, slots=True)
class Queue:
    """One partition: its jobs that need a message, those that somebody works on, and how many messages there are.

    What is worked on may have lost its message and ends all the same.
    """

    partition: Partition
    needed: frozenset[str]
    held: frozenset[str]
    messages: int

    @property
    def waiting(self) -> list[str]:
        """Those that nobody works on, by id."""
        return sorted(self.needed - self.held)

    @property
    def missing(self) -> int:
        """How many of those have no message, at least."""
        return max(0, min(len(self.needed) - self.messages, len(self.needed - self.held)))


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """The places, by name; the partitions; and how many messages of each type the broker itself took out of them."""

    places: Mapping[str, Place]
    queues: Sequence[Queue] = ()
    dropped: Mapping[str, int] = field(default_factory=dict)


async def find(planes: Planes) -> Whereabouts:
    """Look once. Raises `Unavailable`."""
    before = {depth.partition: depth.ready for depth in await planes.broker.depths()}
    queues_of = Counter(partition.type for partition in before)
    layouts = await planes.store.layouts()
    upto = await planes.store.horizon()
    needed = {}
    for partition in before:
        layout = layouts.get(partition.type) or Layout.first(queues_of[partition.type])
        # Messages that are being moved are in the queues of before.
        looked = not layout.moving
        needed[partition] = [job async for job in adrift(planes, partition, layout.partitions, upto)] if looked else []
    leased = {lease.resource for lease in await planes.coordinator.leases()}
    after = {depth.partition: depth.ready for depth in await planes.broker.depths()}
    queues = [
        Queue(
            partition,
            frozenset(job.envelope.id for job in jobs),
            frozenset(job.envelope.id for job in jobs if f"{partition.type}/{job.envelope.key}" in leased),
            max(before[partition], after.get(partition, 0)),
        )
        for partition, jobs in needed.items()
    ]
    return Whereabouts(await _places(planes, queues), queues, await planes.broker.dropped())


async def adrift(planes: Planes, partition: Partition, partitions: int, upto: int) -> AsyncIterator[Adrift]:
    """Yield the partition's jobs that need a message, up to the number `upto`. Raises `Unavailable`."""
    after: int | None = 0
    while after is not None:
        page, after = await planes.store.adrift(partition, partitions, after=after, upto=upto, limit=_PAGE)
        for job in page:
            yield job


async def _places(planes: Planes, queues: Sequence[Queue]) -> dict[str, Place]:
    counts = await planes.inspection.counts()
    outbox = await planes.store.outbox(older_than=-1, limit=NAMED)
    parked = await planes.inspection.jobs(state=JobState.PARKED, limit=NAMED)
    dead = await planes.inspection.jobs(state=JobState.DEAD, limit=NAMED)
    running = await planes.inspection.jobs(state=JobState.RUNNING, limit=NAMED)
    flying = [
        shelved.envelope.id
        for queue in (queues if counts.shelved else ())
        for shelved in await planes.store.shelved(queue.partition, limit=NAMED)
    ]
    waiting = [id for queue in queues for id in queue.waiting]
    return {
        "scheduled": Place(counts.jobs.get(JobState.SCHEDULED, 0)),
        "outbox": Place(counts.outbox, [entry.envelope.id for entry in outbox]),
        "queues": Place(sum(len(queue.needed) for queue in queues), waiting[:NAMED]),
        "in flight": Place(counts.shelved, flying[:NAMED]),
        "running": Place(counts.jobs.get(JobState.RUNNING, 0), [job.id for job in running]),
        "parked": Place(counts.parked, [job.id for job in parked]),
        "dead": Place(counts.jobs.get(JobState.DEAD, 0), [job.id for job in dead]),
        "cancelled": Place(counts.jobs.get(JobState.CANCELLED, 0)),
        "expired": Place(counts.jobs.get(JobState.EXPIRED, 0)),
        "committed": Place(counts.jobs.get(JobState.COMMITTED, 0)),
    }
