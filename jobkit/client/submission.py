"""What a submitter is told of a job that was accepted."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from jobkit.errors import JobConflict
from jobkit.ports.store import Accepted, Conflict, Kept, NewJob, SubmitAnswer


@dataclass(frozen=True, slots=True)
class Submission:
    """A job that is accepted. `known`: it was before, and this call changed nothing.

    `published` is False where the broker did not take it at once, or the caller's transaction has yet to commit: a
    worker will publish it. So it is for one that is to run later: `due_at` is when, in Unix seconds. `kept`: another
    job held the unique name, nothing was accepted, and this is that job. `replaced` is the job that held it and had not
    begun, and is cancelled now. One that `waits` begins once its tenant has a place for it.
    """

    id: str
    type: str
    key: str
    sequence: int | None
    known: bool
    published: bool
    due_at: float | None = None
    kept: bool = False
    replaced: str | None = None
    waits: bool = False


def submissions(
    jobs: Sequence[NewJob], answers: Sequence[SubmitAnswer], *, published: Collection[str]
) -> Sequence[Submission]:
    """Return what a submitter is told of the store's answers. Raises `JobConflict`."""
    return [_submission(job, answer, published) for job, answer in zip(jobs, answers, strict=True)]


def _submission(job: NewJob, answer: SubmitAnswer, published: Collection[str]) -> Submission:
    if isinstance(answer, Conflict):
        raise JobConflict(
            f"job id {answer.id!r} is known with another type, key or payload; "
            "use another id, or leave it out to have one made"
        )
    if isinstance(answer, Kept):
        return Submission(
            id=answer.id,
            type=job.envelope.type,
            key=answer.key or "",
            sequence=answer.sequence,
            known=False,
            published=True,
            due_at=answer.due,
            kept=True,
        )
    envelope, accepted = answer.envelope, isinstance(answer, Accepted)
    return Submission(
        id=envelope.id,
        type=envelope.type,
        key=envelope.key or "",
        sequence=envelope.sequence,
        known=not accepted,
        published=envelope.id in published or not accepted,
        due_at=answer.due if isinstance(answer, Accepted) else None,
        replaced=answer.replaced if isinstance(answer, Accepted) else None,
        waits=isinstance(answer, Accepted) and answer.waits,
    )
