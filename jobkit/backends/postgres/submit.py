"""Accepting jobs: which are new, which are known, and the sequence each new one gets. The server decides it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from jobkit.model.envelope import Envelope
from jobkit.model.partition import slot_of
from jobkit.ports.end_notices import dump_end_notices
from jobkit.ports.rules import HIGHEST_GIVEN, RELEASED, digest_of, dump_group, keepable_trace, without_order
from jobkit.ports.store import Accepted, Conflict, Kept, Known, NewJob, SubmitAnswer

_SUBMIT = "SELECT * FROM jobkit.submit_jobs($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)"
_SUBMIT_NAMED = (
    "SELECT * FROM jobkit.submit_named_jobs($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, "
    "$17, $18, $19) ORDER BY place"
)
_SUBMIT_GROUPED = (
    "SELECT * FROM jobkit.submit_grouped_jobs($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, "
    "$17, $18, $19, $20, $21) ORDER BY place"
)
_SUBMIT_OF_TENANTS = (
    "SELECT * FROM jobkit.submit_jobs_of_tenants($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, "
    "$16, $17, $18, $19, $20, $21, $22, $23)"
)

_SUBMIT_WITH_NOTICES = (
    "SELECT * FROM jobkit.submit_jobs_with_notices($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, "
    "$16, $17, $18, $19, $20, $21, $22, $23, $24)"
)


def check(jobs: Sequence[NewJob]) -> None:
    """Raise `ValueError` where an ordered job has no key to be ordered on."""
    for job in jobs:
        if job.ordered and job.envelope.key is None:
            raise without_order(job.envelope)


def dump_trace(trace: Mapping[str, str]) -> str | None:
    """Return a trace context as a row's column."""
    return json.dumps(keepable_trace(trace)) if trace else None


def columns(jobs: Sequence[NewJob]) -> tuple[list[Any], ...]:
    """Return what `submit_jobs` and `commit_jobs` are told of new jobs, column by column, but for their names."""
    envelopes = [job.envelope for job in jobs]
    return (
        [envelope.id for envelope in envelopes],
        [envelope.type for envelope in envelopes],
        [envelope.key for envelope in envelopes],
        [job.ordered for job in jobs],
        [slot_of(envelope.key) for envelope in envelopes],
        [digest_of(envelope) for envelope in envelopes],
        [dump_trace(envelope.trace) for envelope in envelopes],
        [envelope.schema for envelope in envelopes],
        [envelope.submitted_at for envelope in envelopes],
        [envelope.pack() for envelope in envelopes],
        [job.at for job in jobs],
        [job.after for job in jobs],
        *_expiries(jobs),
    )


def _expiries(jobs: Sequence[NewJob]) -> tuple[list[float | None], list[float | None]]:
    """Return by when jobs have to have begun: nothing where none of them has to."""
    if all(job.expires_at is None and job.expires_after is None for job in jobs):
        return [], []
    return [job.expires_at for job in jobs], [job.expires_after for job in jobs]


def names(jobs: Sequence[NewJob]) -> tuple[list[Any], list[Any], list[Any]]:
    """Return the unique names of jobs, while what they hold them, and whether they replace who does.

    Nothing where none of them has one.
    """
    if all(job.unique is None for job in jobs):
        return [], [], []
    found = [job.unique for job in jobs]
    return (
        [unique and unique.name for unique in found],
        [unique and unique.while_ for unique in found],
        [unique and unique.replace for unique in found],
    )


def groups(jobs: Sequence[NewJob]) -> tuple[list[str | None], list[str | None]]:
    """Return what jobs say of the groups that they close, and of which they are members.

    Nothing where none of them does either.
    """
    if not is_grouped(jobs):
        return [], []
    closing = [None if job.closes is None else dump_group(job.closes) for job in jobs]
    return closing, [job.member_of for job in jobs]


def lines(jobs: Sequence[NewJob]) -> tuple[list[str | None], list[int | None]]:
    """Return in which lines tenants' jobs wait, and how many places are in those. Nothing where none is a tenant's."""
    if not has_tenants(jobs):
        return [], []
    return (
        [None if job.tenancy is None else job.tenancy.line(job.envelope.priority) for job in jobs],
        [None if job.tenancy is None else job.tenancy.places for job in jobs],
    )


def notices(envelopes: Sequence[Envelope]) -> list[str | None]:
    """Return what is to tell of the ends of jobs, where those are not commits. Nothing where nothing is."""
    if all(not envelope.notices for envelope in envelopes):
        return []
    return [dump_end_notices(envelope, dump_trace) for envelope in envelopes]


def facts(envelope: Envelope) -> tuple[Any, ...]:
    """Return what functions are told of one job that may be new to them, the last sequence given out here included."""
    return (
        envelope.id,
        envelope.type,
        envelope.key,
        envelope.sequence,
        slot_of(envelope.key),
        digest_of(envelope),
        dump_trace(envelope.trace),
        envelope.schema,
        envelope.submitted_at,
        envelope.pack(),
        dump_end_notices(envelope, dump_trace),
        HIGHEST_GIVEN,
    )


def is_named(jobs: Sequence[NewJob]) -> bool:
    """Tell whether any of the jobs has a unique name."""
    return any(job.unique is not None for job in jobs)


def is_grouped(jobs: Sequence[NewJob]) -> bool:
    """Tell whether any of the jobs closes a group, or is a member of one."""
    return any(job.closes is not None or job.member_of is not None for job in jobs)


def has_tenants(jobs: Sequence[NewJob]) -> bool:
    """Tell whether any of the jobs is a tenant's."""
    return any(job.tenancy is not None for job in jobs)


def statement(jobs: Sequence[NewJob]) -> tuple[str, tuple[Any, ...]]:
    """Return the statement that accepts jobs, and its arguments."""
    given = (*columns(jobs), [None] * len(jobs))
    if any(job.envelope.notices for job in jobs):
        whole = (*given, *names(jobs), RELEASED, *groups(jobs), *lines(jobs), notices([job.envelope for job in jobs]))
        return _SUBMIT_WITH_NOTICES, whole
    if has_tenants(jobs):
        return _SUBMIT_OF_TENANTS, (*given, *names(jobs), RELEASED, *groups(jobs), *lines(jobs))
    if is_grouped(jobs):
        return _SUBMIT_GROUPED, (*given, *names(jobs), RELEASED, *groups(jobs))
    return (_SUBMIT_NAMED, (*given, *names(jobs), RELEASED)) if is_named(jobs) else (_SUBMIT, given)


def answers(jobs: Sequence[NewJob], rows: Sequence[Mapping[str, Any]]) -> list[SubmitAnswer]:
    """Return what the rows of `statement` say of the jobs, in their order."""
    return [_answer(job, row) for job, row in zip(jobs, rows, strict=True)]


def _answer(job: NewJob, row: Mapping[str, Any]) -> SubmitAnswer:
    envelope = job.envelope
    match row["answer"]:
        case "accepted":
            if row["sequence"] is not None:
                envelope = envelope.with_sequence(row["sequence"])
            replaced = None if job.unique is None else row["other"]
            return Accepted(envelope, row["position"], row["due"], replaced)
        case "waits":
            return Accepted(envelope, None, None, None if job.unique is None else row["other"], waits=True)
        case "kept":
            return Kept(row["other"], row["key"], row["sequence"], row["due"])
        case "known":
            trace = row["trace"]
            return Known(
                replace(
                    envelope,
                    sequence=row["sequence"],
                    submitted_at=row["submitted_at"],
                    trace=json.loads(trace) if trace else {},
                    schema=row["schema"],
                )
            )
        case _:
            return Conflict(envelope.id)
