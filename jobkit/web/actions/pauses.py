"""Pausing and resuming."""

from __future__ import annotations

from jobkit.client.known_scopes import check_scope
from jobkit.errors import ConfigurationError, KeyNotFound
from jobkit.model.pause import Scope
from jobkit.web.actions.action import WHY, Action, Done, Proposal, Refused, told
from jobkit.web.page import NotFound, View


def _scope(view: View) -> Scope:
    partition = view.said("partition")
    if partition is not None and not partition.isdecimal():
        raise NotFound(f"There is no partition {partition!r}.")
    try:
        return Scope(told(view, "type"), None if partition is None else int(partition), view.said("key"))
    except ValueError as error:
        raise Refused(str(error)) from error


async def _seen(view: View) -> Scope:
    """Return what is to be paused. Raises `Refused` where nobody knows it, unless that is what was said."""
    scope, unseen = _scope(view), view.said("unseen") is not None
    backstage = view.backstage
    try:
        await check_scope(view.planes.inspection, lambda: backstage.registry, backstage.layouts, scope, unseen=unseen)
    except (ConfigurationError, KeyNotFound) as error:
        raise Refused(f"{error}.") from error
    return scope


async def _propose_pause(view: View) -> Proposal:
    scope = await _seen(view)
    text = f"No more jobs of {scope} are begun until somebody resumes it. What runs goes on, and nothing is lost."
    return Proposal(f"Pause {scope}?", text, "Pause", "/steering", grave=False, asks=WHY)


async def _pause(view: View) -> Done:
    scope, reason = await _seen(view), view.said("reason") or ""
    try:
        await view.planes.inspection.pause(scope, by=view.user.name, reason=reason)
    except ValueError as error:
        raise Refused(str(error)) from error
    return Done(str(scope), reason, f"Paused: {scope}.", "/steering")


async def _propose_resume(view: View) -> Proposal:
    scope = _scope(view)
    return Proposal(f"Resume {scope}?", f"Jobs of {scope} are begun again.", "Resume", "/steering", grave=False)


async def _resume(view: View) -> Done:
    scope = _scope(view)
    if await view.planes.inspection.resume(scope) is None:
        raise Refused(f"{scope} is not paused.")
    return Done(str(scope), "", f"{scope} goes on.", view.said("back") or "/steering")


ACTIONS = (
    Action("pause", _propose_pause, _pause),
    Action("resume", _propose_resume, _resume),
)
