"""Attempts that failed, jobs that are given up, and messages that never were jobs."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from jobkit.backends.postgres.history import KEPT, dump_failure
from jobkit.backends.postgres.open import key_of
from jobkit.backends.postgres.submit import digest_of
from jobkit.model.envelope import Envelope
from jobkit.model.fence import Fence, Receipt
from jobkit.ports.store import Failure, Refused

FAIL = "SELECT * FROM jobkit.fail_job($1, $2, $3, $4, $5, $6, $7, $8)"
BURY = "SELECT * FROM jobkit.bury_job($1, $2, $3, $4, $5, $6, $7, $8, $9)"
BURY_MESSAGE = "SELECT jobkit.bury_message($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)"
PROGRESS = "SELECT jobkit.note_progress($1, $2, $3, $4, $5, $6, $7) AS noted"


def _fenced(envelope: Envelope, fence: Fence) -> tuple[Any, ...]:
    return (envelope.id, envelope.type, key_of(envelope), fence.token, fence.nonce)


def fail_arguments(envelope: Envelope, fence: Fence, failure: Failure) -> tuple[Any, ...]:
    """Return the arguments of `FAIL`."""
    return (*_fenced(envelope, fence), failure.attempt, dump_failure(failure), KEPT)


def failed(envelope: Envelope, row: Mapping[str, Any]) -> int | Refused:
    """Return what `FAIL` says. Raises `ValueError` for a job that was never opened."""
    if row["answer"] == "unknown":
        raise ValueError(f"job {envelope.id} was never opened, so no attempt of it can have failed")
    number: int = row["number"]
    return Refused(number) if row["answer"] == "refused" else number


def bury_arguments(envelope: Envelope, fence: Fence, reason: str, detail: str) -> tuple[Any, ...]:
    """Return the arguments of `BURY`."""
    return (*_fenced(envelope, fence), reason, detail, envelope.body, envelope.pack())


def buried(envelope: Envelope, row: Mapping[str, Any]) -> Receipt | Refused:
    """Return what `BURY` says. Raises `ValueError` for a job that was never opened."""
    match row["answer"]:
        case "refused":
            return Refused(row["number"])
        case "unknown":
            raise ValueError(f"job {envelope.id} was never opened, so it cannot be buried as a job; bury its message")
        case answer:
            return Receipt(envelope.id, answer)


def bury_message_arguments(raw: bytes, envelope: Envelope | None, reason: str, detail: str) -> tuple[Any, ...]:
    """Return the arguments of `BURY_MESSAGE`; the fingerprint makes asking again safe."""
    of_envelope: tuple[Any, ...] = (None,) * 5
    if envelope is not None:
        of_envelope = (envelope.id, envelope.type, envelope.key, envelope.sequence, digest_of(envelope))
    packed = None if envelope is None else envelope.pack()
    parts = (reason.encode("utf-8", "surrogatepass"), len(raw).to_bytes(8, "big"), raw, packed or b"")
    fingerprint = hashlib.sha256(b"\0".join(parts)).digest()
    return (*of_envelope, reason, detail, raw, packed, fingerprint)


def progress_arguments(envelope: Envelope, fence: Fence, fraction: float, message: str) -> tuple[Any, ...]:
    """Return the arguments of `PROGRESS`."""
    return (*_fenced(envelope, fence), fraction, message)
