"""Dead letters: tried again as they are or edited, one or all with an error, or deleted."""

from __future__ import annotations

from collections.abc import Sequence

from jobkit.errors import ConfigurationError, JobkitError, PayloadInvalid, UniqueNameTaken, UnknownType
from jobkit.model.ids import new_job_id
from jobkit.ops.dead_letter_groups import letters_of
from jobkit.ops.dead_matching import letter_of, letters_matching
from jobkit.ops.views import stored_json
from jobkit.plugin.groups import AnyProcessor
from jobkit.plugin.registry import Registry
from jobkit.ports.inspection import DeadLetter
from jobkit.ports.store import Conflict
from jobkit.web.actions.action import Action, Ask, Done, Proposal, Refused, job_path, many, told
from jobkit.web.job_query import asked, in_words, wanted
from jobkit.web.masking import masked_payload, shown_payload
from jobkit.web.page import NotFound, View
from jobkit.web.rendering import query
from jobkit.web.unmasking import unmasked

# So much of a dead job's id is in that of the one that stands in for it.
_OLD_ID_CHARACTERS = 150


async def _letter(view: View) -> DeadLetter:
    number = told(view, "number")
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
    id = told(view, "id")
    letter = await letter_of(view.planes.inspection, id)
    if letter is None:
        raise NotFound(f"Job {id} has no dead letter: it was tried again, or that was deleted.")
    return letter


async def _propose_requeue_job(view: View) -> Proposal:
    letter = await _letter_of_job(view)
    text = f"Job {letter.id} is tried again as it is, with a fresh count of attempts."
    return Proposal("Try it again?", text, "Try again", job_path(letter.id or ""), grave=False)


async def _requeue_job(view: View) -> Done:
    return await _requeued(view, await _letter_of_job(view))


async def _requeue(view: View) -> Done:
    return await _requeued(view, await _letter(view))


async def _requeued(view: View, letter: DeadLetter) -> Done:
    if (refusal := await _try_again(view, letter.number)) is not None:
        raise Refused(f"Dead letter {letter.number} was not requeued: {refusal}.")
    subject = f"dead letter {letter.number}"
    return Done(subject, f"job {letter.id}", f"Job {letter.id} is tried again.", job_path(letter.id or ""))


async def _propose_requeue_all(view: View) -> Proposal:
    letters = await letters_of(view.planes.inspection, view.said("type"), view.said("error"))
    count = many(len(letters), "job")
    text = f"{count} with this error would be tried again, with a fresh count of attempts."
    upto = letters[-1].number if letters else 0
    asks = (Ask("upto", value=str(upto)),)
    return Proposal(f"Try {count} again?", text, f"Try {count} again", "/dead", grave=False, asks=asks)


async def _requeue_all(view: View) -> Done:
    upto = view.number("upto", 0, most=1 << 62)
    letters = await letters_of(view.planes.inspection, view.said("type"), view.said("error"))
    said = _tried([await _try_again(view, letter.number) for letter in letters if letter.number <= upto])
    return Done(f"dead letters: {view.said('error') or 'all'}", said, said, "/dead")


async def _propose_requeue_matching(view: View) -> Proposal:
    sought = wanted(view)
    numbers = [letter.number async for letter in letters_matching(view.planes.inspection, sought)]
    count = many(len(numbers), "job")
    text = f"{count} {in_words(sought)}, which were given up, would be tried again, with a fresh count of attempts."
    asks = (Ask("upto", value=str(numbers[-1] if numbers else 0)),)
    back = f"/jobs{query(**asked(view))}"
    return Proposal(f"Try {count} again?", text, f"Try {count} again", back, grave=False, asks=asks)


async def _requeue_matching(view: View) -> Done:
    sought, upto = wanted(view), view.number("upto", 0, most=1 << 62)
    letters = letters_matching(view.planes.inspection, sought, upto=upto)
    said = _tried([await _try_again(view, letter.number) async for letter in letters])
    return Done(f"dead jobs {in_words(sought)}", said, said, f"/jobs{query(**asked(view))}")


def _tried(refusals: Sequence[str | None]) -> str:
    done = sum(refusal is None for refusal in refusals)
    left = len(refusals) - done
    return f"{many(done, 'job')} tried again" + (f"; {left} could not be." if left else ".")


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
    payload = shown_payload(view.user, view.backstage.registry, letter.type or "", letter.raw)
    asks = (Ask("payload", "Payload (JSON)", payload, long=True),)
    return Proposal("Submit it edited", text, "Submit as a new job", f"/dead/{letter.number}", grave=False, asks=asks)


async def _edit(view: View) -> Done:
    letter = await _letter(view)
    registry, edited = view.backstage.registry, (view.said("payload") or "").encode()
    # What it is called tells what it stands in for.
    id = f"{(letter.id or f'letter {letter.number}')[:_OLD_ID_CHARACTERS]}@{new_job_id()}"
    try:
        processor, body = _edited(registry, letter, edited)
        new = registry.new_job(processor.name, body, id=id, submitted_at=view.now)
        (answer,) = await view.planes.store.submit([new])
    except (UnknownType, PayloadInvalid, ConfigurationError, ValueError) as error:
        raise Refused(f"It was not submitted: {error}") from error
    if isinstance(answer, Conflict):
        raise Refused("It was not submitted: its id is another job's.")
    detail = f"submitted edited as job {id}, in place of job {letter.id}"
    return Done(f"dead letter {letter.number}", detail, f"Job {id} is submitted in its place.", job_path(id))


def _edited(registry: Registry, letter: DeadLetter, edited: bytes) -> tuple[AnyProcessor, bytes]:
    """Return who takes what was made of a letter, with its secrets. Raises as `addressed` and `unmasked`."""
    try:
        processor, own = registry.addressed(letter.type or "", letter.raw)
    except JobkitError:
        # The letter names no type of its group, so that it was shown as it came: what is made of it names one.
        original = stored_json(letter.raw)
        return registry.addressed(letter.type or "", unmasked(edited, original, original))
    return processor, unmasked(edited, masked_payload(processor, own), stored_json(own))


ACTIONS = (
    Action("requeue", _propose_requeue, _requeue),
    Action("requeue-job", _propose_requeue_job, _requeue_job),
    Action("requeue-all", _propose_requeue_all, _requeue_all),
    Action("requeue-matching", _propose_requeue_matching, _requeue_matching),
    Action("requeue-edited", _propose_edit, _edit),
    Action("purge", _propose_purge, _purge),
)
