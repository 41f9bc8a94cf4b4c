"""The list of jobs: filters in the URL, a page at a time, and what can be done with all that match."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jobkit.model.job_filter import JobFilter
from jobkit.ops.running_jobs import running_jobs
from jobkit.ports.inspection import LOOKED_AT, JobPage, JobState
from jobkit.web.job_query import asked, wanted
from jobkit.web.page import Page, View
from jobkit.web.rendering import query

_PAGE = 50
_MOST = 500


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the list, and what it is called in the URL. `number`: it is set at the right."""

    name: str
    label: str
    usual: bool = True
    number: bool = False


COLUMNS = (
    Column("type", "Type"),
    Column("key", "Key"),
    Column("state", "State"),
    Column("sequence", "No.", usual=False, number=True),
    Column("doing", "Progress or error"),
    Column("attempts", "Failed", usual=False, number=True),
    Column("priority", "Priority", usual=False),
    Column("tags", "Tags", usual=False),
    Column("group", "Group", usual=False),
    Column("submitted", "Submitted"),
    Column("due", "Due", usual=False),
    Column("started", "Begun", usual=False),
    Column("finished", "Finished"),
    Column("took", "Took", usual=False, number=True),
    Column("worker", "Worker"),
)


async def make(view: View) -> Page:
    """Return one page of the jobs that match."""
    sought, below = wanted(view), view.number("below", 0, most=1 << 62) if view.said("below") else None
    limit = view.number("limit", _PAGE, most=_MOST)
    found = await view.backstage.looks.look(("jobs", sought, below, limit), lambda: _look(view, sought, below, limit))
    columns = _columns(view)
    chosen = [] if columns == _USUAL else [column.name for column in columns]
    said = {**asked(view), "limit": limit if limit != _PAGE else None, "column": chosen}
    return Page(
        "jobs.html",
        "Jobs",
        {
            "jobs": found.jobs,
            "asked": asked(view),
            "narrowed": any(asked(view).values()),
            "states": list(JobState),
            "types": sorted({*view.backstage.registry.kept(), *([sought.type] if sought.type else [])}),
            "columns": columns,
            "every_column": COLUMNS,
            "chosen": chosen,
            "older": None if found.below is None else query(**said, below=found.below),
            "looked_at": LOOKED_AT if found.below is not None and len(found.jobs) < limit else None,
            "newest": query(**said) if below else None,
            "changes": _changes(view, sought),
        },
    )


async def _look(view: View, sought: JobFilter, below: int | None, limit: int) -> JobPage:
    page = await view.planes.inspection.find(sought, below=below, limit=limit)
    if sought.state is not JobState.RUNNING or below is not None or page.below is None or len(page.jobs) == limit:
        return page
    # They stand where their queue begins, and that may be behind more jobs than are looked at.
    held = await running_jobs(view.planes, sought, limit=limit)
    jobs = {job.id: job for job in (*page.jobs, *held)}
    return JobPage(list(jobs.values())[:limit], page.below)


_USUAL = tuple(column for column in COLUMNS if column.usual)


def _columns(view: View) -> Sequence[Column]:
    names = view.all_said("column")
    return tuple(column for column in COLUMNS if column.name in names) or _USUAL


def _changes(view: View, sought: JobFilter) -> frozenset[str]:
    """Return the names of the actions that can be done to all that match; none where that would be everything."""
    if sought == JobFilter():
        return frozenset()
    if sought.state is JobState.DEAD:
        return frozenset({"requeue-matching"})
    if sought.state is not None and sought.state.ended:
        return frozenset()
    found = {"cancel-all"}
    if sought.type is not None and view.backstage.registry.knows_priorities(sought.type):
        found.add("priority-all")
    if sought in (JobFilter(sought.type), JobFilter(sought.type, sought.key)) and sought.type is not None:
        found.add("pause")
    return frozenset(found)
