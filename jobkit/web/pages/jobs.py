"""The list of jobs: filters in the URL, a page at a time, and what can be done with all that match."""

from __future__ import annotations

from jobkit.ports.inspection import JobState
from jobkit.web.page import Page, View
from jobkit.web.rendering import query

_PAGE = 50
_MOST = 500


async def make(view: View) -> Page:
    """Return one page of the jobs that match."""
    type, key, before = view.said("type"), view.said("key"), view.said("before")
    said = view.said("state")
    state = next((one for one in JobState if one.value == said), None)
    limit = view.number("limit", _PAGE, most=_MOST)
    inspection = view.planes.inspection
    found = await view.backstage.looks.look(
        ("jobs", type, key, state, before, limit),
        lambda: inspection.jobs(type=type, key=key, state=state, before=before, limit=limit + 1),
    )
    shown = found[:limit]
    asked = {"type": type, "key": key, "state": state, "limit": limit if limit != _PAGE else None}
    older = query(**asked, before=shown[-1].id) if len(found) > limit else None
    return Page(
        "jobs.html",
        "Jobs",
        {
            "jobs": shown,
            "type": type,
            "key": key,
            "state": state,
            "states": list(JobState),
            "types": sorted({*view.backstage.registry.kept(), *([type] if type else [])}),
            "older": older,
            "newest": query(**asked) if before else None,
            "matching": query(type=type, key=key, state=state) if type and not (state and state.ended) else None,
        },
    )
