"""One key: its mark, its order, what stands still, its log, its projections and its files."""

from __future__ import annotations

from typing import Any

from jobkit.errors import ConfigurationError, UnknownType
from jobkit.files import FileReader
from jobkit.model.job_filter import JobFilter
from jobkit.model.partition import partition_of
from jobkit.model.pause import pause_of
from jobkit.ports.inspection import KeyRecord
from jobkit.web.access import may_see
from jobkit.web.page import NotFound, Page, View

_LOG = 100
_JOBS = 20


async def make(view: View) -> Page:
    """Return the page of one key."""
    type, key = view.path["type"], view.path["key"]
    after = view.number("after", 0, most=1 << 62) if view.said("after") else None
    kind = view.said("kind")
    name = ("key", view.user.role, type, key, after, kind)
    return await view.backstage.looks.look(name, lambda: _made(view, type, key, after, kind))


async def _made(view: View, type: str, key: str, after: int | None, kind: str | None) -> Page:
    planes, partitions = view.planes, await view.partitions(type)
    record = await planes.inspection.key(type, key)
    page = await planes.inspection.find(JobFilter(type, key), limit=_JOBS)
    jobs = page.jobs
    if record is None and not jobs and page.below is None:
        raise NotFound(f"The store knows nothing of the key {key!r} of job type {type!r}.")
    # Without a place to begin at, the latest entries are what people look for.
    start = after if after is not None else max(0, (record.log_length if record else 0) - _LOG)
    log = await planes.inspection.log(type, key, after=start, limit=_LOG)
    return Page(
        "key.html",
        f"Key {key}",
        {
            "type": type,
            "key": key,
            "record": record,
            "partition": partition_of(key, partitions),
            "gap": await planes.inspection.gap(type, key),
            "pause": pause_of(await planes.store.pauses(), type, key, partitions),
            "jobs": jobs,
            "more_jobs": page.below is not None,
            "seen": may_see(view.user, view.backstage.registry, type),
            "log": [entry for entry in log if kind is None or kind in entry.kind],
            "kind": kind,
            "start": start,
            "earlier": max(1, start - _LOG) if start else None,
            "later": start + _LOG if record and start + _LOG < record.log_length else None,
            "projections": await _projections(view, record),
            "files": await FileReader(planes.inspection, planes.blobs).files(type, key) if record else (),
        },
    )


async def _projections(view: View, record: KeyRecord | None) -> list[tuple[str, Any]]:
    if record is None:
        return []
    try:
        declared = view.backstage.registry.projections_of(record.type)
    except (UnknownType, ConfigurationError):
        # Its plugin is not loaded here; what its log adds up to is not known then.
        return []
    found = []
    for one in declared:
        kept = one.load(await view.planes.store.record(record.type, record.key, one.record))
        found.append((one.name, None if kept is None else kept.state.model_dump(mode="json")))
    return found
