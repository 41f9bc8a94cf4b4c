"""Attempts that failed, jobs that are given up, and messages that cannot be worked on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jobkit.backends.redis.open import holder
from jobkit.backends.redis.scripts import Argument, spelled
from jobkit.backends.redis.submit import ENDING, NONE, dump_trace, store_script
from jobkit.model.envelope import Envelope
from jobkit.model.fence import Fence, Receipt
from jobkit.ports.dead_letter import Letter
from jobkit.ports.end_notices import dump_end_notices
from jobkit.ports.rules import (
    FAILURES_KEPT,
    digest_of,
    dump_failure,
    kept_back,
    keyless_digest_of,
    never_opened,
)
from jobkit.ports.store import Failure, Refused

FAIL = store_script("fail")
INTERRUPTED = store_script("interrupted")
BURY = store_script("bury", "outbox", *ENDING)
BURY_MESSAGE = store_script("bury_message", "outbox", *ENDING)
PROGRESS = store_script("progress")


def fail_arguments(envelope: Envelope, fence: Fence, failure: Failure, retry_in: float) -> Sequence[Argument]:
    """Return the arguments of `FAIL`."""
    told = (str(failure.attempt), dump_failure(failure), str(FAILURES_KEPT), repr(retry_in), repr(kept_back(retry_in)))
    return (*holder(envelope, fence), *told)


def failed(envelope: Envelope, row: Sequence[Any]) -> int | Refused:
    """Return what the answer of `FAIL` says."""
    match row:
        case [b"failed", count]:
            return int(count)
        case [b"refused", mark]:
            return Refused(int(mark))
        case _:
            raise never_opened(envelope)


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
        case [(b"cancelled" | b"expired") as kind]:
            return Receipt(envelope.id, kind.decode())
        case [b"refused", mark]:
            return Refused(int(mark))
        case _:
            raise never_opened(envelope)


def bury_message_arguments(letter: Letter, job_key: str | None) -> Sequence[Argument]:
    """Return the arguments of `BURY_MESSAGE`; `job_key` is the key that the job of its id has by now."""
    told: list[Argument] = [letter.fingerprint, letter.raw, letter.reason, letter.detail, letter.headers]
    told += (NONE if text is None else text for text in (letter.id, letter.type, letter.key))
    told.append("" if letter.sequence is None else str(letter.sequence))
    if letter.envelope is not None and letter.packed is not None:
        keyed = letter.envelope
        if keyed.key is None and job_key:
            keyed = keyed.with_key(job_key)
        told += (letter.packed, digest_of(keyed), keyless_digest_of(keyed))
        told.append(dump_end_notices(keyed, dump_trace) or "")
    return told
