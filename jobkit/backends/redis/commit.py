"""Committing a job: the server verifies the mark, the id and the sequence, and writes every effect, in one script."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jobkit.backends.redis import outbox, submit
from jobkit.backends.redis.open import holder
from jobkit.backends.redis.scripts import Argument
from jobkit.errors import JobConflict
from jobkit.model.envelope import Envelope
from jobkit.model.fence import Fence, Receipt
from jobkit.ports.rules import dump_manifest
from jobkit.ports.store import Committed, Duplicate, Effects, Refused

COMMIT = submit.accepting_script("commit", *submit.ENDING)


def arguments(envelope: Envelope, fence: Fence, effects: Effects) -> list[Argument]:
    """Return the arguments of `COMMIT`. Raises `ValueError` where a follow-up cannot be ordered."""
    submit.check(effects.follow_ups)
    manifest = dump_manifest(effects.blobs) if effects.blobs else ""
    found: list[Argument] = [*holder(envelope, fence), effects.result, manifest]
    found += (str(len(effects.records)), str(len(effects.entries)))
    for name, value in effects.records.items():
        found += (name, value)
    for entry in effects.entries:
        found += (entry.kind, entry.data)
    return found + submit.arguments(effects.follow_ups)


def answer(envelope: Envelope, row: Sequence[Any]) -> Committed | Duplicate | Refused:
    """Return what the answer of `COMMIT` says. Raises `JobConflict`; then nothing was written."""
    match row:
        case [b"committed", *released]:
            return Committed(Receipt(envelope.id, "committed"), [outbox.entry(*entry) for entry in released])
        case [b"refused", mark]:
            return Refused(int(mark))
        case [b"conflict", id, group]:
            raise JobConflict(f"job {envelope.id} cannot commit: {submit.refusal(id, group)}")
        case [b"conflict", id]:
            raise JobConflict(
                f"job {envelope.id} cannot commit: its follow-up {id.decode()} is known with another type, key or "
                "payload"
            )
        case [(b"cancelled" | b"expired") as kind]:
            return Duplicate(Receipt(envelope.id, kind.decode()))
        case _:
            return Duplicate(Receipt(envelope.id, "duplicate"))
