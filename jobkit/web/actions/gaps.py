"""Keys that stand still: tried again, or going on without what is missing."""

from __future__ import annotations

from urllib.parse import quote

from jobkit.web.actions.action import Action, Ask, Done, Proposal, Refused, many, told
from jobkit.web.page import View


def _key_path(type: str, key: str) -> str:
    return f"/keys/{quote(type, safe='')}/{quote(key, safe='')}"


async def _propose_resume_gap(view: View) -> Proposal:
    type, key = told(view, "type"), told(view, "key")
    text = f"The jobs of {type}/{key} that wait are tried again, in order. Nothing is given up."
    return Proposal("Try the key again?", text, "Try again", _key_path(type, key), grave=False)


async def _resume_gap(view: View) -> Done:
    type, key = told(view, "type"), told(view, "key")
    resumed = await view.planes.inspection.resume_gap(type, key)
    said = f"{many(resumed, 'job')} of {type}/{key} tried again."
    return Done(f"{type}/{key}", said, said, _key_path(type, key))


async def _propose_skip_gap(view: View) -> Proposal:
    type, key = told(view, "type"), told(view, "key")
    gap = await view.planes.inspection.gap(type, key)
    if gap is None:
        raise Refused(f"{type}/{key} does not stand still.")
    which = f"number {gap.expected}" if gap.first == gap.expected + 1 else f"numbers {gap.expected} to {gap.first - 1}"
    text = (
        f"{type}/{key} goes on with number {gap.first}. What is missing before it ({which}) is given up for good: "
        "if it still comes, it is put with the dead letters."
    )
    asks = (Ask("before", value=str(max(gap.first, gap.expected + 1))),)
    return Proposal("Give up what is missing?", text, "Give it up", _key_path(type, key), asks=asks)


async def _skip_gap(view: View) -> Done:
    type, key = told(view, "type"), told(view, "key")
    before = view.number("before", 1, most=1 << 62)
    try:
        resumed = await view.planes.inspection.skip_gap(type, key, before=before)
    except ValueError as error:
        raise Refused(str(error)) from error
    said = f"{type}/{key} goes on with number {before}; {many(resumed, 'job')} resumed."
    return Done(f"{type}/{key}", said, said, _key_path(type, key))


ACTIONS = (
    Action("resume-gap", _propose_resume_gap, _resume_gap),
    Action("skip-gap", _propose_skip_gap, _skip_gap),
)
