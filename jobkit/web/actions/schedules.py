"""Schedules: paused, resumed, and run out of turn."""

from __future__ import annotations

from jobkit.client.schedules import ScheduleBook
from jobkit.web.actions.action import WHY, Action, Done, Proposal, job_path, told
from jobkit.web.page import View


def _book(view: View) -> ScheduleBook:
    return ScheduleBook(view.planes.inspection, view.backstage.registry)


async def _propose_pause_schedule(view: View) -> Proposal:
    name = told(view, "name")
    text = f"The schedule {name} makes no more jobs until somebody resumes it."
    return Proposal(f"Pause {name}?", text, "Pause", "/steering", grave=False, asks=WHY)


async def _pause_schedule(view: View) -> Done:
    name, reason = told(view, "name"), view.said("reason") or ""
    await _book(view).pause(name, reason=reason, by=view.user.name)
    return Done(f"schedule {name}", reason, f"Paused: {name}.", "/steering")


async def _propose_resume_schedule(view: View) -> Proposal:
    name = told(view, "name")
    return Proposal(f"Resume {name}?", f"{name} makes jobs again.", "Resume", "/steering", grave=False)


async def _resume_schedule(view: View) -> Done:
    name = told(view, "name")
    await _book(view).resume(name)
    return Done(f"schedule {name}", "", f"{name} goes on.", "/steering")


async def _propose_trigger(view: View) -> Proposal:
    name = told(view, "name")
    text = f"A job of {name} is submitted now, besides those of its ticks."
    return Proposal(f"Run {name} now?", text, "Run now", "/steering", grave=False)


async def _trigger(view: View) -> Done:
    name = told(view, "name")
    id = await _book(view).trigger(name)
    return Done(f"schedule {name}", f"job {id}", f"Job {id} is submitted.", job_path(id))


ACTIONS = (
    Action("pause-schedule", _propose_pause_schedule, _pause_schedule),
    Action("resume-schedule", _propose_resume_schedule, _resume_schedule),
    Action("trigger-schedule", _propose_trigger, _trigger),
)
