"""Attempts that failed, jobs that are given up, and messages that cannot be worked on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jobkit.backends.postgres import each
from jobkit.backends.postgres.submit import dump_trace
from jobkit.model.envelope import Envelope
from jobkit.model.fence import Fence, Receipt
from jobkit.ports.dead_letter import Letter
from jobkit.ports.end_notices import dump_end_notices
from jobkit.ports.rules import (
    FAILURES_KEPT,
    RELEASED,
    digest_of,
    dump_failure,
    kept_back,
    key_of,
    keyless_digest_of,
    never_opened,
)
from jobkit.ports.store import Failure, Refused

FAIL = "SELECT * FROM jobkit.fail_job($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)"
INTERRUPTED = "SELECT jobkit.note_interrupted($1, $2)"
BURY = "SELECT * FROM jobkit.bury_job($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)"
BURY_MESSAGE = "SELECT jobkit.bury_message($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15) AS answer"
PROGRESS = each.statement("note_progress", ["text", "text", "text", "bigint", "text", "double precision", "text"])


def fenced(envelope: Envelope, fence: Fence) -> tuple[Any, ...]:
    """Return who writes, and to which job, as functions are told."""
    return (envelope.id, envelope.type, key_of(envelope), fence.token, fence.nonce)


def fail_arguments(envelope: Envelope, fence: Fence, failure: Failure, retry_in: float) -> tuple[Any, ...]:
    """Return the arguments of `FAIL`."""
    return (
        *fenced(envelope, fence),
        failure.attempt,
        dump_failure(failure),
        FAILURES_KEPT,
        retry_in,
        kept_back(retry_in),
    )


def failed(envelope: Envelope, row: Mapping[str, Any]) -> int | Refused:
    """Return what `FAIL` says. Raises `ValueError` for a job that was never opened."""
    if row["answer"] == "unknown":
        raise never_opened(envelope)
    number: int = row["number"]
    return Refused(number) if row["answer"] == "refused" else number


def bury_arguments(envelope: Envelope, fence: Fence, reason: str, detail: str) -> tuple[Any, ...]:
    """Return the arguments of `BURY`."""
    return (*fenced(envelope, fence), reason, detail, envelope.body, envelope.pack(), RELEASED)


def buried(envelope: Envelope, row: Mapping[str, Any]) -> Receipt | Refused:
    """Return what `BURY` says. Raises `ValueError` for a job that was never opened."""
    match row["answer"]:
        case "refused":
            return Refused(row["number"])
        case "unknown":
            raise never_opened(envelope)
        case answer:
            return Receipt(envelope.id, answer)


def bury_message_arguments(letter: Letter, job_key: str | None) -> tuple[Any, ...]:
    """Return the arguments of `BURY_MESSAGE`; `job_key` is the key that the job of its id has by now."""
    digest = keyless = notices = None
    if letter.envelope is not None:
        keyed = letter.envelope
        if keyed.key is None and job_key:
            keyed = keyed.with_key(job_key)
        digest, keyless = digest_of(keyed), keyless_digest_of(keyed)
        notices = dump_end_notices(keyed, dump_trace)
    return (
        letter.id,
        letter.type,
        letter.key,
        letter.sequence,
        digest,
        keyless,
        letter.reason,
        letter.detail,
        letter.raw,
        letter.packed,
        letter.headers,
        letter.fingerprint,
        letter.envelope is not None,
        RELEASED,
        notices,
    )


def progress_arguments(envelope: Envelope, fence: Fence, fraction: float, message: str) -> each.Arguments:
    """Return what `PROGRESS` is told of one job."""
    return (*fenced(envelope, fence), fraction, message)
