"""Schedules that do nothing though somebody may count on them: not to be read, long paused, or served by nobody."""

from __future__ import annotations

from collections.abc import Collection

from jobkit.client.schedule_row import schedule_of
from jobkit.errors import ScheduleUnreadable
from jobkit.ports.diagnosis import Finding, Status
from jobkit.ports.inspection import Inspection

_FORGOTTEN_SECONDS = 86_400.0
_PAGE = 500


async def schedules(inspection: Inspection, served: Collection[str] | None) -> list[Finding]:
    """Return what is wrong with the schedules; `served` are the types of live workers, None where that is not known."""
    now = await inspection.wall_time()
    findings: list[Finding] = []
    after = ""
    while page := await inspection.schedules(after=after, limit=_PAGE):
        for kept in page:
            try:
                pause = schedule_of(kept).pause
            except ScheduleUnreadable as error:
                findings.append(Finding(Status.WARN, str(error), f"jobkit schedules remove {kept.name}, or upgrade"))
                continue
            if pause is not None and now - pause.at > _FORGOTTEN_SECONDS:
                what = f"schedule {kept.name} has been paused for {(now - pause.at) / 86_400:.0f} days, by {pause.by}"
                findings.append(Finding(Status.WARN, what, f"jobkit schedules resume {kept.name}, or remove it"))
            elif served is not None and kept.type not in served:
                what = f"schedule {kept.name} submits jobs of type {kept.type}, which no live worker serves"
                findings.append(Finding(Status.WARN, what, f"start one: jobkit worker {kept.type}"))
        after = page[-1].name
    return findings
