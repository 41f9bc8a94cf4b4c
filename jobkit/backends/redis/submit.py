"""Accepting jobs: which are new, which are known, and the sequence each new one gets. The server decides it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from jobkit.backends.redis.scripts import Argument, Script, load_script
from jobkit.errors import JobConflict
from jobkit.model.envelope import Envelope
from jobkit.model.unique import Unique
from jobkit.ports.end_notices import dump_end_notices
from jobkit.ports.rules import digest_of, dump_group, keepable_trace, not_a_group, not_in_group, without_order
from jobkit.ports.store import Accepted, Conflict, Kept, Known, NewJob, SubmitAnswer

# Stands for no key: no key holds a NUL.
NONE = "\0"
_TRACEPARENT = "traceparent"
# Stands for when a job is due that waits for a place of its tenant's.
_WAITS = b"waits"


def store_script(name: str, *parts: str) -> Script:
    """Return a script of the store, with the parts that it is built on."""
    return load_script(*(f"store/{part}" for part in ("rows", *parts, name)))


# What ends jobs, dead ones among them; it comes after "outbox".
ENDING = ("order", "tenants", "end_notices", "ending", "letters", "release", "job_group")


@dataclass(frozen=True, slots=True)
class AcceptingScript:
    """A script that accepts jobs: `plain`, and with what unique names, groups and tenants need."""

    plain: Script
    named: Script
    grouped: Script
    tenanted: Script

    def of(self, jobs: Sequence[NewJob]) -> Script:
        """Return the one that takes what `arguments` returns for these jobs."""
        if has_tenants(jobs):
            return self.tenanted
        return self.grouped if is_grouped(jobs) else self.named if is_named(jobs) else self.plain


def accepting_script(name: str, *parts: str) -> AcceptingScript:
    """Return the script of the store that is built on `accept` and these parts."""
    first, unique = ("outbox", "accept", *ENDING, "end_early"), ("unique", "accept_unique")
    rest = tuple(part for part in parts if part not in first)
    return AcceptingScript(
        store_script(name, "outbox", "accept", *parts),
        store_script(name, *first, *unique, *rest),
        store_script(name, *first, *unique, "accept_grouped", *rest),
        store_script(name, *first, "accept_tenants", *unique, "accept_grouped", *rest),
    )


SUBMIT = accepting_script("submit")


def check_name(type: str, key: str) -> None:
    """Raise `ValueError` where a key could be taken for another one: a NUL parts its type from it."""
    if "\0" in type or "\0" in key:
        raise ValueError(f"neither the type {type!r} nor the key {key!r} of a job may hold a NUL")


def check(jobs: Sequence[NewJob]) -> None:
    """Raise `ValueError` where an ordered job has no key to be ordered on, or one that cannot be kept."""
    for job in jobs:
        check_name(job.envelope.type, job.envelope.key or "")
        if job.ordered and job.envelope.key is None:
            raise without_order(job.envelope)


def dump_trace(trace: Mapping[str, str]) -> str:
    """Return a trace context as it is stored: mostly it is one header, short enough for a compact row."""
    if not trace:
        return ""
    kept = keepable_trace(trace)
    only = kept.get(_TRACEPARENT, "") if len(kept) == 1 else ""
    return only if only and not only.startswith("{") else json.dumps(kept)


def load_trace(stored: bytes) -> dict[str, str]:
    """Return the trace context that `dump_trace` made `stored` from."""
    if not stored.startswith(b"{"):
        return {_TRACEPARENT: stored.decode()} if stored else {}
    found: dict[str, str] = json.loads(stored)
    return found


def facts(envelope: Envelope, *, whole: bool = True) -> tuple[Argument, ...]:
    """Return what scripts are told of a job that may be new to them; its envelope and notices only where `whole`."""
    return (
        envelope.id,
        envelope.type,
        NONE if envelope.key is None else envelope.key,
        "" if envelope.sequence is None else str(envelope.sequence),
        digest_of(envelope),
        repr(envelope.submitted_at),
        dump_trace(envelope.trace),
        str(envelope.schema),
        (dump_end_notices(envelope, dump_trace) or "") if whole else "",
        envelope.pack() if whole else b"",
    )


def arguments(jobs: Sequence[NewJob]) -> list[Argument]:
    """Return what `SUBMIT` and `COMMIT` are told of new jobs."""
    found: list[Argument] = []
    tenanted = has_tenants(jobs)
    grouped = tenanted or is_grouped(jobs)
    named = grouped or is_named(jobs)
    for job in jobs:
        due = ("" if when is None else repr(when) for when in (job.at, job.after, job.expires_at, job.expires_after))
        found += (*facts(job.envelope), "1" if job.ordered else "", *due)
        if tenanted:
            found += _dump_line(job)
        if named:
            found.append(_dump_unique(job.unique))
        if grouped:
            found += ("" if job.closes is None else dump_group(job.closes), job.member_of or "")
    return found


def _dump_unique(unique: Unique | None) -> str:
    return "" if unique is None else f"{unique.while_} {'replace' if unique.replace else 'keep'} {unique.name}"


def _dump_line(job: NewJob) -> tuple[str, str]:
    if job.tenancy is None:
        return "", ""
    return job.tenancy.line(job.envelope.priority), str(job.tenancy.places)


def has_tenants(jobs: Sequence[NewJob]) -> bool:
    """Tell whether any of the jobs is a tenant's."""
    return any(job.tenancy is not None for job in jobs)


def is_named(jobs: Sequence[NewJob]) -> bool:
    """Tell whether any of the jobs has a unique name."""
    return any(job.unique is not None for job in jobs)


def is_grouped(jobs: Sequence[NewJob]) -> bool:
    """Tell whether any of the jobs closes a group, or is a member of one."""
    return any(job.closes is not None or job.member_of is not None for job in jobs)


def refusal(id: bytes, group: bytes) -> str:
    """Return what is said of a job that cannot be accepted because of groups."""
    return not_in_group(id.decode(), group.decode()) if group else not_a_group(id.decode())


def answers(jobs: Sequence[NewJob], rows: Sequence[Any]) -> list[SubmitAnswer]:
    """Return what the answer of `SUBMIT` says of the jobs, in their order. Raises `JobConflict`."""
    if rows and rows[0] == b"refused":
        raise JobConflict(refusal(*rows[1:]))
    return [_answer(job.envelope, row) for job, row in zip(jobs, rows, strict=True)]


def _answer(envelope: Envelope, row: Sequence[bytes]) -> SubmitAnswer:
    match row:
        case [b"accepted", sequence, position]:
            return Accepted(envelope.with_sequence(int(sequence)) if sequence else envelope, int(position))
        case [b"accepted", sequence, position, due, *replaced]:
            return Accepted(
                envelope.with_sequence(int(sequence)) if sequence else envelope,
                int(position) if position else None,
                float(due) if due not in (b"", _WAITS) else None,
                replaced[0].decode() if replaced else None,
                due == _WAITS,
            )
        case [b"kept", id, key, sequence, due]:
            return Kept(
                id.decode(),
                None if key == NONE.encode() else key.decode(),
                int(sequence) if sequence else None,
                float(due) if due else None,
            )
        case [b"known", sequence, submitted_at, trace, schema]:
            return Known(
                replace(
                    envelope,
                    sequence=int(sequence) if sequence else None,
                    submitted_at=float(submitted_at),
                    trace=load_trace(trace),
                    schema=int(schema),
                )
            )
        case _:
            return Conflict(envelope.id)
