"""What people ask of live workers: to lead a certain partition, or to drain and end."""

from __future__ import annotations

from collections.abc import Sequence

from jobkit.errors import JobkitError
from jobkit.model.partition import Partition
from jobkit.ports.coordinator import Coordinator, Member


class WorkerRefused(JobkitError):
    """Nothing was asked of the worker: there is none alive of that name, or it cannot do that."""


def able(members: Sequence[Member], type: str) -> list[str]:
    """Return who can be asked to lead partitions of a type."""
    return [member.owner for member in members if type in member.types and not member.dismissed]


async def hand_over(coordinator: Coordinator, partition: Partition, owner: str, *, partitions: int) -> None:
    """Have a partition handed over to a worker, of the `partitions` that its type has.

    Raises `WorkerRefused` where there is no such partition, or no live worker of that name that serves the type, and
    `Unavailable`.
    """
    if not 0 <= partition.index < partitions:
        raise WorkerRefused(f"{partition} does not exist: {partition.type} has {partitions}, counted from 0")
    if owner not in able(await coordinator.members(), partition.type):
        raise WorkerRefused(f"no live worker {owner!r} serves {partition.type}; `jobkit leases` lists them")
    if not await coordinator.assign(partition, owner):
        raise _gone(owner)


async def dismiss(coordinator: Coordinator, owner: str) -> None:
    """Have a worker drain and end. Raises `WorkerRefused` where none of that name is alive, and `Unavailable`."""
    if not await coordinator.dismiss(owner):
        raise _gone(owner)


def _gone(owner: str) -> WorkerRefused:
    return WorkerRefused(f"no worker {owner!r} is alive; `jobkit leases` lists those that are")
