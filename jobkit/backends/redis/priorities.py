"""Changing the priority of jobs that wait. The server decides it, having been told their envelopes' new first lines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from jobkit.backends.redis.scripts import Argument
from jobkit.backends.redis.submit import store_script
from jobkit.model.envelope import Envelope
from jobkit.model.priority import Priority
from jobkit.ports.inspection import JobState, PriorityChange
from jobkit.ports.rules import head_with_priority, priority_in
from jobkit.ports.store import OutboxEntry

HEADS = store_script("heads")
REPRIORITIZE = store_script("reprioritize", "outbox", "tenants", "release")


def arguments(ids: Sequence[str], heads: Sequence[bytes | None], priority: Priority) -> Iterator[Argument]:
    """Yield the arguments of `REPRIORITIZE`."""
    yield priority.value
    for id, head in zip(ids, heads, strict=True):
        yield from (id, head or b"", _new(head, priority))


def _new(head: bytes | None, priority: Priority) -> bytes:
    return b"" if head is None or priority_in(head) is priority else head_with_priority(head, priority)


def answer(id: str, head: bytes | None, row: Sequence[Any], priority: Priority) -> PriorityChange | None:
    """Return what the answer of `REPRIORITIZE` says of a job; None where it is to be looked at again."""
    match row:
        case [b"changed", state, position, packed]:
            entry = OutboxEntry(int(position), Envelope.unpack(packed)) if position else None
            return PriorityChange(id, True, JobState(state.decode()), priority, entry)
        case [b"left", state]:
            known = JobState(state.decode())
            return PriorityChange(id, False, known, None if known.ended else priority_in(head))
        case [b"again", _]:
            return None
        case _:
            return PriorityChange(id, False, None)
