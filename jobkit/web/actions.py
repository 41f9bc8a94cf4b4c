"""What operators can change: each change says first what it would do, and then does it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from urllib.parse import quote

from jobkit.client import matching
from jobkit.client.schedules import ScheduleBook
from jobkit.errors import ConfigurationError, JobkitError, PayloadInvalid, UniqueNameTaken, UnknownType
from jobkit.model.ids import new_job_id
from jobkit.model.pause import Scope
from jobkit.ops.grouping import letters_of
from jobkit.ports.inspection import UNFINISHED, DeadLetter, JobState
from jobkit.ports.store import Conflict
from jobkit.web.page import NotFound, View
from jobkit.web.rendering import query


class Refused(JobkitError):
    """The change could not be made; nothing was changed."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """What a change would do. `asks`: fields of the form, each a name, a label and what is in it; `back` is a path."""

    title: str
    text: str
    button: str
    back: str
    grave: bool = True
    asks: tuple[tuple[str, str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Done:
    """What was changed, for the audit log and for whoever did it; `go_to` is the path to go on to."""

    subject: str
    detail: str
    said: str
    go_to: str


@dataclass(frozen=True, slots=True)
class Action:
    """One kind of change."""

    name: str
    propose: Callable[[View], Awaitable[Proposal]]
    carry_out: Callable[[View], Awaitable[Done]]


# So much of a dead job's id is in that of the one that stands in for it.
_OLD_ID_CHARACTERS = 150
_WHY = (("reason", "Why? Everybody who looks is told.", ""),)


def _job_path(id: str) -> str:
    return f"/jobs/{quote(id, safe='')}"


def _told(view: View, name: str) -> str:
    said = view.said(name)
    if said is None:
        raise NotFound(f"This needs to be told {name}.")
    return said


def _many(count: int, what: str) -> str:
    return f"1 {what}" if count == 1 else f"{count:,} {what}s"


# ---- jobs ------------------------------------------------------------------------------------------------------


async def _propose_cancel(view: View) -> Proposal:
    id = _told(view, "id")
    if await view.planes.inspection.job(id) is None:
        raise NotFound(f"There is no job {id!r}.")
    text = f"Job {id} ends now, and never takes effect, even if it runs. What comes behind it on its key goes on."
    return Proposal("Cancel this job?", text, "Cancel the job", _job_path(id), asks=_WHY)


async def _cancel(view: View) -> Done:
    id, reason = _told(view, "id"), view.said("reason") or ""
    (answer,) = await view.planes.inspection.cancel([id], by=view.user.name, reason=reason)
    if not answer.cancelled:
        state = "not known" if answer.state is None else f"{answer.state.value} already"
        raise Refused(f"Job {id} is {state}, so it was not cancelled.")
    return Done(f"job {id}", reason, f"Job {id} is cancelled.", _job_path(id))


def _chosen(view: View) -> tuple[str, str | None, tuple[JobState, ...]]:
    type, key, state = _told(view, "type"), view.said("key"), view.said("state")
    wanted = UNFINISHED if state is None else tuple(one for one in UNFINISHED if one.value == state)
    if not wanted:
        raise Refused(f"Jobs that are {state} have ended: there is nothing to cancel.")
    return type, key, wanted


def _of(type: str, key: str | None) -> str:
    return f"type {type}" if key is None else f"type {type}, key {key}"


async def _propose_cancel_all(view: View) -> Proposal:
    type, key, states = _chosen(view)
    upto = await view.planes.store.horizon()
    count = await matching.count(view.planes.inspection, type, key, states, upto=upto)
    which = ", ".join(state.value for state in states)
    text = f"{_many(count, 'job')} of {_of(type, key)} ({which}) would end now, and never take effect."
    title = f"Cancel {_many(count, 'job')}?"
    back = f"/jobs{query(type=type, key=key, state=view.said('state'))}"
    asks = (*_WHY, ("upto", "", str(upto)))
    return Proposal(title, text, f"Cancel {_many(count, 'job')}", back, asks=asks)


async def _cancel_all(view: View) -> Done:
    type, key, states = _chosen(view)
    upto, reason = view.number("upto", 0, most=1 << 62), view.said("reason") or ""
    pages = matching.cancel(view.planes.inspection, type, key, states, upto=upto, by=view.user.name, reason=reason)
    count = sum([cancelled async for cancelled in pages])
    detail = f"{_many(count, 'job')}: {reason}" if reason else _many(count, "job")
    return Done(_of(type, key), detail, f"{_many(count, 'job')} cancelled.", f"/jobs{query(type=type, key=key)}")


async def _propose_republish(view: View) -> Proposal:
    id = _told(view, "id")
    text = f"The message of job {id} is sent again, in case it was lost. If it was not, nothing happens twice."
    return Proposal("Send its message again?", text, "Send it again", _job_path(id), grave=False)


async def _republish(view: View) -> Done:
    id = _told(view, "id")
    if not await view.planes.inspection.republish([id]):
        raise Refused(f"Job {id} has ended, or is on its way to a worker anyway: nothing was sent.")
    return Done(f"job {id}", "", f"The message of job {id} is sent again.", _job_path(id))


# ---- pauses ----------------------------------------------------------------------------------------------------


def _scope(view: View) -> Scope:
    partition = view.said("partition")
    if partition is not None and not partition.isdecimal():
        raise NotFound(f"There is no partition {partition!r}.")
    try:
        return Scope(_told(view, "type"), None if partition is None else int(partition), view.said("key"))
    except ValueError as error:
        raise Refused(str(error)) from error


async def _propose_pause(view: View) -> Proposal:
    scope = _scope(view)
    text = f"No more jobs of {scope} are begun until somebody resumes it. What runs goes on, and nothing is lost."
    return Proposal(f"Pause {scope}?", text, "Pause", "/steering", grave=False, asks=_WHY)


async def _pause(view: View) -> Done:
    scope, reason = _scope(view), view.said("reason") or ""
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


# ---- dead letters ----------------------------------------------------------------------------------------------


async def _letter(view: View) -> DeadLetter:
    number = _told(view, "number")
    letter = await view.planes.inspection.dead_letter(int(number)) if number.isdecimal() and len(number) < 18 else None
    if letter is None:
        raise NotFound(f"There is no dead letter {number}.")
    return letter


async def _try_again(view: View, number: int) -> str | None:
    """Try one dead letter again; return why it cannot be."""
    try:
        requeued = await view.planes.inspection.requeue_dead(number)
    except UniqueNameTaken as error:
        return f"job {error.holder} holds its unique name"
    return None if requeued is not None else "no job that could run can be made of it"


async def _propose_requeue(view: View) -> Proposal:
    letter = await _letter(view)
    text = f"Job {letter.id or '?'} is tried again as it is, with a fresh count of attempts."
    return Proposal("Try it again?", text, "Try again", f"/dead/{letter.number}", grave=False)


async def _letter_of_job(view: View) -> DeadLetter:
    id = _told(view, "id")
    job = await view.planes.inspection.job(id)
    letters = () if job is None else await letters_of(view.planes.inspection, job.type, None)
    letter = next((one for one in reversed(letters) if one.id == id), None)
    if letter is None:
        raise NotFound(f"Job {id} has no dead letter: it was tried again, or that was deleted.")
    return letter


async def _propose_requeue_job(view: View) -> Proposal:
    letter = await _letter_of_job(view)
    text = f"Job {letter.id} is tried again as it is, with a fresh count of attempts."
    return Proposal("Try it again?", text, "Try again", _job_path(letter.id or ""), grave=False)


async def _requeue_job(view: View) -> Done:
    return await _requeued(view, await _letter_of_job(view))


async def _requeue(view: View) -> Done:
    return await _requeued(view, await _letter(view))


async def _requeued(view: View, letter: DeadLetter) -> Done:
    if (refusal := await _try_again(view, letter.number)) is not None:
        raise Refused(f"Dead letter {letter.number} was not requeued: {refusal}.")
    subject = f"dead letter {letter.number}"
    return Done(subject, f"job {letter.id}", f"Job {letter.id} is tried again.", _job_path(letter.id or ""))


async def _propose_requeue_all(view: View) -> Proposal:
    letters = await letters_of(view.planes.inspection, view.said("type"), view.said("error"))
    count = _many(len(letters), "job")
    text = f"{count} with this error would be tried again, with a fresh count of attempts."
    upto = letters[-1].number if letters else 0
    asks = (("upto", "", str(upto)),)
    return Proposal(f"Try {count} again?", text, f"Try {count} again", "/dead", grave=False, asks=asks)


async def _requeue_all(view: View) -> Done:
    upto = view.number("upto", 0, most=1 << 62)
    letters = await letters_of(view.planes.inspection, view.said("type"), view.said("error"))
    refusals = [await _try_again(view, letter.number) for letter in letters if letter.number <= upto]
    done = sum(refusal is None for refusal in refusals)
    left = len(refusals) - done
    said = f"{_many(done, 'job')} tried again" + (f"; {left} could not be." if left else ".")
    return Done(f"dead letters: {view.said('error') or 'all'}", said, said, "/dead")


async def _propose_purge(view: View) -> Proposal:
    letter = await _letter(view)
    text = f"The dead letter of job {letter.id or '?'} is deleted for good. Its id stays known: it is not done again."
    return Proposal("Delete it for good?", text, "Delete for good", f"/dead/{letter.number}")


async def _purge(view: View) -> Done:
    letter = await _letter(view)
    if not await view.planes.inspection.purge_dead(letter.number):
        raise Refused(f"There is no dead letter {letter.number} any more.")
    return Done(f"dead letter {letter.number}", f"job {letter.id}", "Deleted for good.", "/dead")


async def _propose_edit(view: View) -> Proposal:
    letter = await _letter(view)
    text = (
        f"A new job, with an id of its own, is submitted with this payload in place of job {letter.id or '?'}. "
        "The dead letter stays until you delete it."
    )
    asks = (("payload", "Payload (JSON)", letter.raw.decode(errors="replace")),)
    return Proposal("Submit it edited", text, "Submit as a new job", f"/dead/{letter.number}", grave=False, asks=asks)


async def _edit(view: View) -> Done:
    letter = await _letter(view)
    registry, body = view.backstage.registry, (view.said("payload") or "").encode()
    # What it is called tells what it stands in for.
    id = f"{(letter.id or f'letter {letter.number}')[:_OLD_ID_CHARACTERS]}@{new_job_id()}"
    try:
        processor, own = registry.addressed(letter.type or "", body)
        new = registry.new_job(processor.name, own, id=id, submitted_at=view.now)
        (answer,) = await view.planes.store.submit([new])
    except (UnknownType, PayloadInvalid, ConfigurationError, ValueError) as error:
        raise Refused(f"It was not submitted: {error}") from error
    if isinstance(answer, Conflict):
        raise Refused("It was not submitted: its id is another job's.")
    detail = f"submitted edited as job {id}, in place of job {letter.id}"
    return Done(f"dead letter {letter.number}", detail, f"Job {id} is submitted in its place.", _job_path(id))


# ---- gaps ------------------------------------------------------------------------------------------------------


def _key_path(type: str, key: str) -> str:
    return f"/keys/{quote(type, safe='')}/{quote(key, safe='')}"


async def _propose_resume_gap(view: View) -> Proposal:
    type, key = _told(view, "type"), _told(view, "key")
    text = f"The jobs of {type}/{key} that wait are tried again, in order. Nothing is given up."
    return Proposal("Try the key again?", text, "Try again", _key_path(type, key), grave=False)


async def _resume_gap(view: View) -> Done:
    type, key = _told(view, "type"), _told(view, "key")
    resumed = await view.planes.inspection.resume_gap(type, key)
    said = f"{_many(resumed, 'job')} of {type}/{key} tried again."
    return Done(f"{type}/{key}", said, said, _key_path(type, key))


async def _propose_skip_gap(view: View) -> Proposal:
    type, key = _told(view, "type"), _told(view, "key")
    gap = next((one for one in await view.planes.inspection.gaps() if (one.type, one.key) == (type, key)), None)
    if gap is None:
        raise Refused(f"{type}/{key} does not stand still.")
    which = f"number {gap.expected}" if gap.first == gap.expected + 1 else f"numbers {gap.expected} to {gap.first - 1}"
    text = (
        f"{type}/{key} goes on with number {gap.first}. What is missing before it ({which}) is given up for good: "
        "if it still comes, it is put with the dead letters."
    )
    asks = (("before", "", str(max(gap.first, gap.expected + 1))),)
    return Proposal("Give up what is missing?", text, "Give it up", _key_path(type, key), asks=asks)


async def _skip_gap(view: View) -> Done:
    type, key = _told(view, "type"), _told(view, "key")
    before = view.number("before", 1, most=1 << 62)
    try:
        resumed = await view.planes.inspection.skip_gap(type, key, before=before)
    except ValueError as error:
        raise Refused(str(error)) from error
    said = f"{type}/{key} goes on with number {before}; {_many(resumed, 'job')} resumed."
    return Done(f"{type}/{key}", said, said, _key_path(type, key))


# ---- schedules -------------------------------------------------------------------------------------------------


def _book(view: View) -> ScheduleBook:
    return ScheduleBook(view.planes.inspection, view.backstage.registry)


async def _propose_pause_schedule(view: View) -> Proposal:
    name = _told(view, "name")
    text = f"The schedule {name} makes no more jobs until somebody resumes it."
    return Proposal(f"Pause {name}?", text, "Pause", "/steering", grave=False, asks=_WHY)


async def _pause_schedule(view: View) -> Done:
    name, reason = _told(view, "name"), view.said("reason") or ""
    await _book(view).pause(name, reason=reason, by=view.user.name)
    return Done(f"schedule {name}", reason, f"Paused: {name}.", "/steering")


async def _propose_resume_schedule(view: View) -> Proposal:
    name = _told(view, "name")
    return Proposal(f"Resume {name}?", f"{name} makes jobs again.", "Resume", "/steering", grave=False)


async def _resume_schedule(view: View) -> Done:
    name = _told(view, "name")
    await _book(view).resume(name)
    return Done(f"schedule {name}", "", f"{name} goes on.", "/steering")


async def _propose_trigger(view: View) -> Proposal:
    name = _told(view, "name")
    text = f"A job of {name} is submitted now, besides those of its ticks."
    return Proposal(f"Run {name} now?", text, "Run now", "/steering", grave=False)


async def _trigger(view: View) -> Done:
    name = _told(view, "name")
    id = await _book(view).trigger(name)
    return Done(f"schedule {name}", f"job {id}", f"Job {id} is submitted.", _job_path(id))


ACTIONS: Mapping[str, Action] = {
    action.name: action
    for action in (
        Action("cancel", _propose_cancel, _cancel),
        Action("cancel-all", _propose_cancel_all, _cancel_all),
        Action("republish", _propose_republish, _republish),
        Action("pause", _propose_pause, _pause),
        Action("resume", _propose_resume, _resume),
        Action("requeue", _propose_requeue, _requeue),
        Action("requeue-job", _propose_requeue_job, _requeue_job),
        Action("requeue-all", _propose_requeue_all, _requeue_all),
        Action("requeue-edited", _propose_edit, _edit),
        Action("purge", _propose_purge, _purge),
        Action("resume-gap", _propose_resume_gap, _resume_gap),
        Action("skip-gap", _propose_skip_gap, _skip_gap),
        Action("pause-schedule", _propose_pause_schedule, _pause_schedule),
        Action("resume-schedule", _propose_resume_schedule, _resume_schedule),
        Action("trigger-schedule", _propose_trigger, _trigger),
    )
}
