"""What is held up, and by what: gaps, pauses, limits and schedules."""

from __future__ import annotations

from collections import Counter

from jobkit.client.schedules import ScheduleBook
from jobkit.model.plane import Plane
from jobkit.ops.views import schedule_view
from jobkit.web.page import Page, View
from jobkit.web.pages.away import told

# So many limits are listed, the first by their names.
_LIMITS = 200
# So many keys that stand still are listed, the first by their names.
_GAPS = 200


async def make(view: View) -> Page:
    """Return the page."""
    return await view.backstage.looks.look("steering", lambda: _made(view))


async def _made(view: View) -> Page:
    planes, away = view.planes, dict[Plane, str]()
    gaps = await planes.inspection.gaps(limit=_GAPS + 1)
    limits = await told(planes.coordinator.limits(limit=_LIMITS + 1), (), Plane.COORDINATOR, away)
    waiting: Counter[str] = Counter()
    for one in await told(planes.coordinator.waiting(), (), Plane.COORDINATOR, away):
        waiting[one.bucket] += one.number
    schedules = await ScheduleBook(planes.inspection, view.backstage.registry).list()
    return Page(
        "steering.html",
        "Held up",
        {
            "gaps": sorted(gaps[:_GAPS], key=lambda gap: (gap.since, gap.type, gap.key)),
            "more_gaps": len(gaps) > _GAPS,
            "pauses": await planes.store.pauses(),
            "limits": limits[:_LIMITS],
            "more_limits": len(limits) > _LIMITS,
            "waiting": waiting,
            "schedules": [schedule_view(status) for status in schedules],
            "types": view.backstage.registry.kept(),
            "away": away,
        },
    )
