"""What there is to be steered: a type or key that nobody knows is most likely mistyped.

Known is what a plugin that is loaded here declares, what workers have published, and what any job is of. Programs that
steer a type before its first worker, or a key before its first job, say so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from jobkit.client.layouts import Layouts
from jobkit.client.matching import pages
from jobkit.errors import ConfigurationError, KeyNotFound, TypeUnreadable, UnknownType
from jobkit.model.job_filter import JobFilter
from jobkit.model.job_state import UNFINISHED
from jobkit.model.pause import Scope
from jobkit.model.spelling import did_you_mean
from jobkit.plugin.registry import Registry
from jobkit.plugin.type_definition import definition_in
from jobkit.ports.inspection import Inspection

# No job has a higher number.
_ALL = 1 << 53


async def _published_groups(inspection: Inspection) -> dict[str, str]:
    """Return the name that the jobs of each published type are kept under."""
    groups: dict[str, str] = {}
    for one in await inspection.types():
        try:
            groups[one.name] = definition_in(one).kept_as
        except TypeUnreadable:
            # By a newer version: its name is known all the same.
            groups[one.name] = one.name
    return groups


def _refuse_member(groups: Mapping[str, str], type: str) -> None:
    if type in groups and type not in groups.values():
        raise UnknownType(
            f"job type {type!r} is in group {groups[type]!r}, under whose name its jobs are kept: name that"
        )


async def check_type(inspection: Inspection, registry: Callable[[], Registry], type: str) -> None:
    """Raise `UnknownType` where no jobs are kept as `type`; also for one of a group, whose name they are kept under.

    The registry is asked for only where the store does not know the type. Raises `Unavailable`.
    """
    groups = await _published_groups(inspection)
    _refuse_member(groups, type)
    if type in groups.values():
        return
    if (await inspection.find(JobFilter(type), limit=1)).jobs or await _waits(inspection, JobFilter(type)):
        return
    loaded = registry()
    loaded.refuse_member(type)
    known = sorted({*groups.values(), *loaded.kept()})
    if type not in known and type not in loaded.broken:
        raise UnknownType(
            f"nobody knows a job type {type!r}: no worker has published it, no plugin that is loaded here declares it, "
            f"and no job is of it (known: {', '.join(known) or 'none'}){did_you_mean(type, known)}"
        )


async def check_scope(
    inspection: Inspection, registry: Callable[[], Registry], layouts: Layouts, scope: Scope, *, unseen: bool
) -> None:
    """Raise `UnknownType`, or `KeyNotFound`, where nobody knows a scope and it is not said to be `unseen`.

    Raises `ConfigurationError` where the type has no such partition, or `Unavailable`.
    """
    if unseen:
        # Of those no job will ever come.
        _refuse_member(await _published_groups(inspection), scope.type)
    else:
        await check_type(inspection, registry, scope.type)
        if scope.key is not None:
            await check_key(inspection, scope.type, scope.key)
    await check_partition(layouts, scope)


async def check_key(inspection: Inspection, type: str, key: str) -> None:
    """Raise `KeyNotFound` where the store knows nothing of a key, or `Unavailable`."""
    if await inspection.key(type, key) is None:
        wanted = JobFilter(type, key)
        if not (await inspection.find(wanted, limit=1)).jobs and not await _waits(inspection, wanted):
            raise KeyNotFound(f"the store knows nothing of the key {key!r} of job type {type!r}")


async def check_partition(layouts: Layouts, scope: Scope) -> None:
    """Raise `ConfigurationError` where the type has no such partition, or `Unavailable`."""
    if scope.partition is not None:
        await layouts.refresh()
        if scope.partition >= (there := layouts.of(scope.type).partitions):
            raise ConfigurationError(
                f"{scope.type} has no partition {scope.partition}: there are {there}, counted from 0"
            )


async def _waits(inspection: Inspection, wanted: JobFilter) -> bool:
    """Return whether there is such a job that has yet to end, however many others there are."""
    async for _ in pages(inspection, wanted, UNFINISHED, upto=_ALL):
        return True
    return False
