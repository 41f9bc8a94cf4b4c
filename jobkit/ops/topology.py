"""The partitions of job types: how many, what is in them, who leads them; and changing their number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jobkit.client.layouts import Layouts
from jobkit.model.layout import Layout
from jobkit.model.partition import Partition
from jobkit.ports.planes import Planes


@dataclass(frozen=True, slots=True)
class QueueState:
    """One partition's queue: `ready` and `delayed` as `QueueDepth` has them, None where there is no queue yet."""

    partition: Partition
    ready: int | None
    delayed: int | None
    consumer: str | None
    leader: str | None


@dataclass(frozen=True, slots=True)
class TypeTopology:
    """The layout of one job type, and its queues."""

    type: str
    layout: Layout
    queues: Sequence[QueueState]


async def look(planes: Planes, layouts: Layouts, types: Sequence[str]) -> list[TypeTopology]:
    """Return the topology of types; nothing is made of those that are new. Raises `Unavailable`."""
    await layouts.refresh()
    depths = {depth.partition: depth for depth in await planes.broker.depths()}
    leaders = {lease.resource: lease.owner for lease in await planes.coordinator.leases("leader/")}

    def queue(partition: Partition) -> QueueState:
        depth, leader = depths.get(partition), leaders.get(partition.resource)
        if depth is None:
            return QueueState(partition, None, None, None, leader)
        return QueueState(partition, depth.ready, depth.delayed, depth.consumer, leader)

    return [
        TypeTopology(type, layout, [queue(Partition(type, index)) for index in range(layout.made)])
        for type, layout in ((type, layouts.of(type)) for type in types)
    ]


async def unlike(layouts: Layouts, types: Sequence[str], partitions: int) -> dict[str, int]:
    """Return the number of partitions of those types that have another one, by type. Raises `Unavailable`."""
    await layouts.refresh()
    numbers = {type: layouts.of(type).wanted for type in types}
    return {type: number for type, number in numbers.items() if number != partitions}


async def repartition(layouts: Layouts, types: Sequence[str], partitions: int) -> None:
    """Have workers split types into so many partitions, those that have another number. Raises `Unavailable`."""
    for type in types:
        await layouts.change(type, lambda now: None if now.wanted == partitions else now.announced(partitions))
