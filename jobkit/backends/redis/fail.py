"""Attempts that failed, jobs that are given up, and messages that never were jobs."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from jobkit.backends.redis.history import KEPT, dump_failure
from jobkit.backends.redis.open import holder
from jobkit.backends.redis.scripts import Argument, spelled
from jobkit.backends.redis.submit import digest_of, facts, store_script
from jobkit.model.envelope import Envelope
from jobkit.model.fence import Fence, Receipt
from jobkit.ports.store import Failure, Refused

FAIL = store_script("fail")
BURY = store_script("bury", "outbox", "order", "letters")
BURY_MESSAGE = store_script("bury_message", "outbox", "order", "letters")
PROGRESS = store_script("progress")


def fail_arguments(envelope: Envelope, fence: Fence, failure: Failure) -> Sequence[Argument]:
    """Return the arguments of `FAIL`."""
    return (*holder(envelope, fence), str(failure.attempt), dump_failure(failure), str(KEPT))


def failed(envelope: Envelope, row: Sequence[Any]) -> int | Refused:
    """Return what the answer of `FAIL` says."""
    match row:
        case [b"failed", count]:
            return int(count)
        case [b"refused", mark]:
            return Refused(int(mark))
        case _:
            raise ValueError(f"job {envelope.id} was never opened, so no attempt of it can have failed")


def bury_arguments(envelope: Envelope, fence: Fence, reason: str, detail: str) -> Sequence[Argument]:
    """Return the arguments of `BURY`."""
    return (
        *holder(envelope, fence),
        spelled(reason),
        spelled(detail),
        envelope.body,
        envelope.pack(),
        digest_of(envelope),
    )


def buried(envelope: Envelope, row: Sequence[Any]) -> Receipt | Refused:
    """Return what the answer of `BURY` says."""
    match row:
        case [b"dead"]:
            return Receipt(envelope.id, "dead")
        case [b"ended"]:
            return Receipt(envelope.id, "duplicate")
        case [b"refused", mark]:
            return Refused(int(mark))
        case _:
            raise ValueError(f"job {envelope.id} was never opened, so it cannot be buried as a job; bury its message")


def bury_message_arguments(raw: bytes, envelope: Envelope | None, reason: str, detail: str) -> Sequence[Argument]:
    """Return the arguments of `BURY_MESSAGE`: the same message for the same reason has one fingerprint."""
    packed = b"" if envelope is None else envelope.pack()
    fingerprint = hashlib.sha256(b"\0".join((spelled(reason), len(raw).to_bytes(8, "big"), raw, packed))).digest()
    told = (fingerprint, raw, spelled(reason), spelled(detail))
    if envelope is None:
        return told
    id, type, key, sequence, digest, *_ = facts(envelope)
    return (*told, id, type, key, sequence, digest, packed)
