"""Changing the priority of jobs that wait. The server decides it, having been told their envelopes' new first lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jobkit.backends.postgres.sanitize import fit
from jobkit.model.envelope import Envelope
from jobkit.model.priority import Priority
from jobkit.ports.inspection import JobState, PriorityChange
from jobkit.ports.rules import head_with_priority, priority_in
from jobkit.ports.store import OutboxEntry

LOOK = """
    SELECT id, substring(envelope FROM 1 FOR position('\\x0a'::bytea IN envelope) - 1) AS head
    FROM jobkit.jobs WHERE id = ANY ($1)
"""
REPRIORITIZE = "SELECT * FROM jobkit.reprioritize($1, $2, $3, $4)"
ENVELOPES = "SELECT id, envelope FROM jobkit.jobs WHERE id = ANY ($1) AND envelope IS NOT NULL"


@dataclass(frozen=True, slots=True)
class Wish:
    """A job, the first line of its envelope as it was seen, and the one that it is to have: None where that is it."""

    id: str
    head: bytes | None
    new: bytes | None


def wishes(rows: Sequence[Mapping[str, Any]], priority: Priority) -> list[Wish]:
    """Return what is wanted of the jobs in the rows of `LOOK`."""
    return [Wish(row["id"], row["head"], _new(row["head"], priority)) for row in rows]


def _new(head: bytes | None, priority: Priority) -> bytes | None:
    return None if head is None or priority_in(head) is priority else head_with_priority(head, priority)


def arguments(wanted: Sequence[Wish], priority: Priority) -> tuple[Any, ...]:
    """Return the arguments of `REPRIORITIZE`."""
    return [one.id for one in wanted], [one.head for one in wanted], [one.new for one in wanted], priority.value


def answers(
    ids: Sequence[str],
    wanted: Mapping[str, Wish],
    rows: Mapping[str, Mapping[str, Any]],
    envelopes: Mapping[str, bytes],
    priority: Priority,
) -> list[PriorityChange]:
    """Return what the rows of `REPRIORITIZE` say of the jobs, in their order."""
    found = []
    told: set[str] = set()
    for id in ids:
        row = rows.get(fit(id))
        if row is None:
            found.append(PriorityChange(id, False, None))
            continue
        # Of an id that is there twice, the first.
        changed = row["answer"] == "changed" and id not in told
        told.add(id)
        packed = envelopes.get(fit(id)) if changed and row["position"] is not None else None
        entry = None if packed is None else OutboxEntry(row["position"], Envelope.unpack(packed))
        state = JobState(row["state"])
        now = priority if row["answer"] == "changed" else None if state.ended else priority_in(wanted[fit(id)].head)
        found.append(PriorityChange(id, changed, state, now, entry))
    return found
