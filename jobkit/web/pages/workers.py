"""Workers and partitions: who is alive, who leads what, and what runs where."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jobkit.model.plane import Plane
from jobkit.ports.broker import QueueDepth
from jobkit.ports.coordinator import LeaseInfo
from jobkit.web.page import Page, View
from jobkit.web.pages.away import told

_LEADER = "leader"
# So many running jobs are listed.
_RUNNING = 200


@dataclass(frozen=True, slots=True)
class PartitionRow:
    """One partition: how much is in its queue, and who leads it, under which token."""

    type: str
    index: int
    ready: int | None
    delayed: int | None
    leader: LeaseInfo | None


async def make(view: View) -> Page:
    """Return the page of workers and partitions."""
    return await view.backstage.looks.look("workers", lambda: _made(view))


async def _made(view: View) -> Page:
    planes, away = view.planes, dict[Plane, str]()
    members = await told(planes.coordinator.members(), (), Plane.COORDINATOR, away)
    leases = await told(planes.coordinator.leases(), (), Plane.COORDINATOR, away)
    depths = await told(planes.broker.depths(), (), Plane.BROKER, away)
    leading = {tuple(one.resource.split("/")[1:3]): one for one in leases if one.resource.startswith(f"{_LEADER}/")}
    running = [one for one in leases if not one.resource.startswith(f"{_LEADER}/")]
    return Page(
        "workers.html",
        "Workers",
        {
            "members": members,
            "leads": Counter(one.owner for one in leading.values()),
            "runs": Counter(one.owner for one in running),
            "assigned": {(one.type, one.index): member.owner for member in members for one in member.assigned},
            "partitions": _partitions(depths, leading),
            "running": [(*one.resource.partition("/")[::2], one) for one in running[:_RUNNING]],
            "more": max(0, len(running) - _RUNNING),
            "away": away,
        },
    )


def _partitions(depths: Sequence[QueueDepth], leading: Mapping[tuple[str, ...], LeaseInfo]) -> list[PartitionRow]:
    rows = [
        PartitionRow(
            one.partition.type,
            one.partition.index,
            one.ready,
            one.delayed,
            leading.get((one.partition.type, str(one.partition.index))),
        )
        for one in depths
    ]
    known = {(row.type, str(row.index)) for row in rows}
    rows += [
        PartitionRow(name[0], int(name[1]), None, None, lease) for name, lease in leading.items() if name not in known
    ]
    return sorted(rows, key=lambda row: (row.type, row.index))
