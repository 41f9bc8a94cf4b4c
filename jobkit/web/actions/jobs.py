"""Cancelling jobs and changing their priority, one or all that match, and sending the message of one again."""

from __future__ import annotations

from jobkit.client import Client, matching
from jobkit.model.job_filter import JobFilter
from jobkit.model.job_state import UNFINISHED, WAITING, JobState
from jobkit.model.priority import Priority
from jobkit.web.actions.action import WHY, Action, Ask, Done, Proposal, Refused, job_path, many, told
from jobkit.web.job_query import asked, in_words, wanted
from jobkit.web.page import NotFound, View
from jobkit.web.rendering import query


async def _propose_cancel(view: View) -> Proposal:
    id = told(view, "id")
    if await view.planes.inspection.job(id) is None:
        raise NotFound(f"There is no job {id!r}.")
    text = f"Job {id} ends now, and never takes effect, even if it runs. What comes behind it on its key goes on."
    return Proposal("Cancel this job?", text, "Cancel the job", job_path(id), asks=WHY)


async def _cancel(view: View) -> Done:
    id, reason = told(view, "id"), view.said("reason") or ""
    (answer,) = await view.planes.inspection.cancel([id], by=view.user.name, reason=reason)
    if not answer.cancelled:
        state = "not known" if answer.state is None else f"{answer.state.value} already"
        raise Refused(f"Job {id} is {state}, so it was not cancelled.")
    return Done(f"job {id}", reason, f"Job {id} is cancelled.", job_path(id))


def _sought(view: View) -> tuple[JobFilter, tuple[JobState, ...]]:
    sought = wanted(view)
    if sought == JobFilter():
        raise Refused("Say which jobs: this would be all there are.")
    states = tuple(one for one in UNFINISHED if sought.state in (None, one))
    if not states:
        raise Refused(f"Jobs that are {sought.state} have ended: there is nothing to cancel.")
    return sought, states


def _list_path(view: View) -> str:
    return f"/jobs{query(**asked(view))}"


async def _propose_cancel_all(view: View) -> Proposal:
    sought, states = _sought(view)
    upto = await view.planes.store.horizon()
    count = await matching.count(view.planes.inspection, sought, states, upto=upto)
    which = ", ".join(state.value for state in states)
    text = f"{many(count, 'job')} {in_words(sought)} ({which}) would end now, and never take effect."
    asks = (*WHY, Ask("upto", value=str(upto)))
    button = f"Cancel {many(count, 'job')}"
    return Proposal(f"{button}?", text, button, _list_path(view), asks=asks)


async def _cancel_all(view: View) -> Done:
    sought, states = _sought(view)
    upto, reason = view.number("upto", 0, most=1 << 62), view.said("reason") or ""
    pages = matching.cancel(view.planes.inspection, sought, states, upto=upto, by=view.user.name, reason=reason)
    count = sum([cancelled async for cancelled in pages])
    detail = f"{many(count, 'job')}: {reason}" if reason else many(count, "job")
    return Done(f"jobs {in_words(sought)}", detail, f"{many(count, 'job')} cancelled.", _list_path(view))


# ---- priorities ------------------------------------------------------------------------------------------------

_PRIORITIES = tuple(one.value for one in Priority)


def _client(view: View) -> Client:
    backstage = view.backstage
    return Client(view.planes, backstage.registry, backstage.settings, backstage.clock)


def _priority(view: View, type: str) -> Priority:
    try:
        return view.backstage.registry.check_priority(type, told(view, "priority"))
    except ValueError as error:
        raise Refused(str(error)) from error


async def _propose_priority(view: View) -> Proposal:
    id = told(view, "id")
    text = f"Job {id}, which waits, is begun sooner or later than others of its type."
    ask = Ask("priority", "Priority", "high", _PRIORITIES)
    return Proposal("Change its priority?", text, "Change it", job_path(id), grave=False, asks=(ask,))


async def _change_priority(view: View) -> Done:
    id = told(view, "id")
    job = await view.planes.inspection.job(id)
    if job is None:
        raise NotFound(f"There is no job {id!r}.")
    to = _priority(view, job.type)
    answer = await _client(view).reprioritize(id, to)
    if answer.priority is not to:
        state = "in the order of its key" if answer.priority else f"{answer.state} already"
        raise Refused(f"Job {id} is {state}, so its priority was not changed.")
    return Done(f"job {id}", f"priority {to}", f"Job {id} has the priority {to} now.", job_path(id))


def _waiting(view: View) -> tuple[JobFilter, str, tuple[JobState, ...]]:
    sought = wanted(view)
    states = tuple(one for one in WAITING if sought.state in (None, one))
    if sought.type is None or not states:
        raise Refused("Choose a type, and no state but one in which jobs wait: only those have a priority to change.")
    return sought, sought.type, states


async def _propose_priority_all(view: View) -> Proposal:
    sought, _, states = _waiting(view)
    upto = await view.planes.store.horizon()
    count = await matching.count(view.planes.inspection, sought, states, upto=upto)
    text = f"{many(count, 'job')} {in_words(sought)}, which wait, would be begun sooner or later than others."
    asks = (Ask("priority", "Priority", "high", _PRIORITIES), Ask("upto", value=str(upto)))
    button = f"Change {many(count, 'job')}"
    return Proposal(f"{button}?", text, button, _list_path(view), grave=False, asks=asks)


async def _change_priority_all(view: View) -> Done:
    sought, type, states = _waiting(view)
    to, upto, count = _priority(view, type), view.number("upto", 0, most=1 << 62), 0
    async for ids in matching.pages(view.planes.inspection, sought, states, upto=upto):
        count += sum(answer.changed for answer in await _client(view).reprioritize_many(ids, to))
    said = f"{many(count, 'job')} got the priority {to}."
    return Done(f"jobs {in_words(sought)}", said, said, _list_path(view))


# ---- messages --------------------------------------------------------------------------------------------------


async def _propose_republish(view: View) -> Proposal:
    id = told(view, "id")
    text = f"The message of job {id} is sent again, in case it was lost. If it was not, nothing happens twice."
    return Proposal("Send its message again?", text, "Send it again", job_path(id), grave=False)


async def _republish(view: View) -> Done:
    id = told(view, "id")
    if not await view.planes.inspection.republish([id]):
        raise Refused(f"Job {id} has ended, or is on its way to a worker anyway: nothing was sent.")
    return Done(f"job {id}", "", f"The message of job {id} is sent again.", job_path(id))


ACTIONS = (
    Action("cancel", _propose_cancel, _cancel),
    Action("cancel-all", _propose_cancel_all, _cancel_all),
    Action("priority", _propose_priority, _change_priority),
    Action("priority-all", _propose_priority_all, _change_priority_all),
    Action("republish", _propose_republish, _republish),
)
