"""What is to be told of a job: a follow-up job, made by the transaction that ends it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import JsonValue

from jobkit.errors import PayloadInvalid
from jobkit.model.envelope import Envelope
from jobkit.model.ids import new_job_id
from jobkit.model.notice import ENDS, MAX_NOTICES, MAX_NOTICES_BYTES, EndState, Notice, packed
from jobkit.model.safe_text import shown
from jobkit.plugin.job_info import JobInfo
from jobkit.plugin.payload import Payload, Result
from jobkit.ports.store import NewJob

# The field of a notification's payload that says what became of the job.
FIELD = "ended"


class JobEnd(Result):
    """What became of a job: its `state`, and the `result` that it committed, unless that is more than 32 KiB."""

    job: str
    type: str
    key: str
    state: EndState = "committed"
    result: JsonValue = None


@dataclass(frozen=True, slots=True)
class Notification:
    """A job of `type` with this payload; the key is derived from it unless it is given.

    Given to a submit, it is made where that job ends in one of the ways `on`; and where its payload has a field
    `ended: JobEnd | None`, that says what became of the job.
    """

    type: str
    payload: Payload | Mapping[str, Any]
    key: str | None = None
    on: Sequence[EndState] = ("committed",)


# Makes the notification of a payload, the result and the job, or None where nobody is to be told.
Notify = Callable[[Any, Any, JobInfo], Notification | None]


def completed(told: Notification, of: Envelope) -> Payload | Mapping[str, Any]:
    """Return the payload with what its key may be made of; what became of the job is yet to come."""
    ended = JobEnd(job=of.id, type=of.type, key=of.key or "", state=checked_ends(told.on)[0])
    if isinstance(told.payload, Payload):
        return told.payload.model_copy(update={FIELD: ended})
    return {**told.payload, FIELD: ended.model_dump(mode="json")}


def notice_of(told: Notification, job: NewJob, *, says_end: bool) -> Notice:
    """Return what goes with the job that is told of; `job` is the one that tells, as it would be submitted now.

    Raises `PayloadInvalid` for a type that is ordered, or `ValueError` for an end that is none.
    """
    if job.ordered:
        raise PayloadInvalid(f"job type {told.type!r} is ordered: a notification is of a type without an order")
    around = () if job.envelope.type == told.type else (told.type,)
    return Notice(
        id=new_job_id(),
        type=job.envelope.type,
        key=job.envelope.key,
        body=job.envelope.body.decode(),
        inside=(*around, FIELD) if says_end else (),
        priority=job.envelope.priority,
        version=job.envelope.version,
        on=checked_ends(told.on),
    )


def noticed(job: NewJob, notices: Sequence[Notice]) -> NewJob:
    """Return a job whose end is told so. Raises `PayloadInvalid` where that is more than goes with a job."""
    if len(notices) > MAX_NOTICES:
        raise PayloadInvalid(f"notify= takes {MAX_NOTICES} notifications at most, not {len(notices)}")
    if (size := len(packed(notices).encode())) > MAX_NOTICES_BYTES:
        raise PayloadInvalid(f"the notifications of a job have {size} bytes, more than {MAX_NOTICES_BYTES}")
    return replace(job, envelope=replace(job.envelope, notices=tuple(notices)))


def checked_ends(on: Sequence[EndState]) -> tuple[EndState, ...]:
    """Return the ends of a job that are named, in one order. Raises `ValueError`."""
    known = tuple(end for end in ENDS if end in on)
    if isinstance(on, str) or not known or len(known) != len(on):
        raise ValueError(f"on= names ends of a job, each once, out of {', '.join(ENDS)}: not {shown(on)}")
    return known
