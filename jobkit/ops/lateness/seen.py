"""What is to be seen of what a job waits for. A plane that is out of reach hides no other."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import anyio

from jobkit.errors import Unavailable
from jobkit.model.partition import Partition, partition_of
from jobkit.model.pause import Pause
from jobkit.model.plane import Plane
from jobkit.ports.broker import QueueDepth
from jobkit.ports.coordinator import LeaseInfo, Member, Waiting
from jobkit.ports.inspection import JobRecord, KeyRecord
from jobkit.ports.planes import Planes

T = TypeVar("T")
# A backend that takes longer is away, as far as whoever looks is concerned.
_PATIENCE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Seen:
    """What was to be seen; None where the plane that knows is away."""

    pauses: Sequence[Pause]
    key: KeyRecord | None
    members: Sequence[Member] | None
    leader: Sequence[LeaseInfo] | None
    lease: Sequence[LeaseInfo] | None
    waiting: Sequence[Waiting] | None
    depths: Sequence[QueueDepth] | None
    away: dict[Plane, str]

    def depth(self, partition: Partition) -> QueueDepth | None:
        return next((one for one in self.depths or () if one.partition == partition), None)


async def look(planes: Planes, job: JobRecord, partitions: int) -> Seen:
    """Look at all that a job may wait for. Raises `Unavailable` where the store is away."""
    away: dict[Plane, str] = {}
    coordinator = planes.coordinator
    leader = Partition(job.type, partition_of(job.key, partitions)).resource

    async def told(asked: Awaitable[T], plane: Plane) -> T | None:
        try:
            with anyio.fail_after(_PATIENCE_SECONDS):
                return await asked
        except (Unavailable, TimeoutError) as error:
            away.setdefault(plane, str(error) or f"no answer within {_PATIENCE_SECONDS:g} s")
            return None

    members = await told(coordinator.members(), Plane.COORDINATOR)
    up = Plane.COORDINATOR not in away
    return Seen(
        await planes.store.pauses(),
        await planes.inspection.key(job.type, job.key),
        members,
        await told(coordinator.leases(leader), Plane.COORDINATOR) if up else None,
        await told(coordinator.leases(f"{job.type}/{job.key}"), Plane.COORDINATOR) if up else None,
        await told(coordinator.waiting(), Plane.COORDINATOR) if up else None,
        await told(planes.broker.depths(), Plane.BROKER),
        away,
    )
