"""Attempts that failed, jobs that are given up, and messages that cannot be worked on."""

from __future__ import annotations

from jobkit.backends.sqlite import ending, job_groups
from jobkit.backends.sqlite.history import dump_failures, is_noted, load_failures
from jobkit.backends.sqlite.open import refusal
from jobkit.backends.sqlite.submit import dump_trace
from jobkit.backends.sqlite.transaction import Transaction
from jobkit.model.envelope import Envelope
from jobkit.model.fence import Fence, Receipt
from jobkit.ports.dead_letter import Letter
from jobkit.ports.end_notices import dump_end_notices
from jobkit.ports.inspection import JobState
from jobkit.ports.notifier import job_topic
from jobkit.ports.rules import (
    digest_of,
    kept_back,
    key_of,
    keyless_digest_of,
    never_opened,
    receipt_of_ended,
)
from jobkit.ports.store import Failure, Refused


def fail(
    transaction: Transaction, envelope: Envelope, fence: Fence, failure: Failure, *, retry_in: float
) -> int | Refused:
    """Add a failed attempt to the job's history, have it wait for the next one, and return how many it has."""
    refused = refusal(transaction, envelope.type, key_of(envelope), fence)
    if refused is not None:
        return refused
    row = transaction.execute("SELECT state, failed, failures FROM jobs WHERE id = ?", (envelope.id,)).fetchone()
    if row is None:
        raise never_opened(envelope)
    state, failed, stored = row
    if JobState(state).ended:
        return Refused(fence.token)
    failures = load_failures(stored)
    if is_noted(failures, failure.attempt):
        return int(failed)
    transaction.execute(
        "UPDATE jobs SET state = 'queued', progress = 0, message = '', failed = failed + 1, failures = ?1, "
        "told = ?2, retry_at = ?3 + ?4, delayed_until = ?3 + ?5, due = NULL, ordered = NULL "
        "WHERE id = ?6",
        (
            dump_failures((*failures, failure)),
            fence.nonce,
            transaction.now,
            retry_in,
            kept_back(retry_in),
            envelope.id,
        ),
    )
    transaction.notify(job_topic(envelope.id))
    return int(failed) + 1


def interrupted(transaction: Transaction, envelope: Envelope, fence: Fence) -> None:
    """Note that the start under `fence` ended with its worker alive."""
    transaction.execute(
        "UPDATE jobs SET told = CASE nonce WHEN ?1 THEN ?1 ELSE told END, silent = replace(silent, ?1 || ' ', '') "
        "WHERE id = ?2 AND ended IS NULL",
        (fence.nonce, envelope.id),
    )


def bury(transaction: Transaction, envelope: Envelope, fence: Fence, *, reason: str, detail: str) -> Receipt | Refused:
    """Dead-letter a job with its history. One that has ended already is left as it is."""
    key = key_of(envelope)
    row = transaction.execute("SELECT state, sequence, failures FROM jobs WHERE id = ?", (envelope.id,)).fetchone()
    if row is not None and JobState(row[0]).ended:
        return receipt_of_ended(envelope.id, row[0])
    refused = refusal(transaction, envelope.type, key, fence)
    if refused is not None:
        return refused
    if row is None:
        raise never_opened(envelope)
    _, sequence, failures = row
    transaction.execute(
        "INSERT INTO dead (id, type, key, sequence, reason, detail, failures, raw, envelope, died_at) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            envelope.id,
            envelope.type,
            key,
            sequence,
            reason,
            detail,
            failures,
            envelope.body,
            envelope.pack(),
            transaction.wall,
        ),
    )
    _die(transaction, envelope.id, reason)
    return Receipt(envelope.id, "dead")


def bury_message(transaction: Transaction, letter: Letter) -> Receipt:
    """Dead-letter a message, and end the job whose message it is."""
    envelope, failures = letter.envelope, None
    if envelope is not None:
        row = transaction.execute(
            "SELECT digest, key, state, failures FROM jobs WHERE id = ?", (envelope.id,)
        ).fetchone()
        if row is not None and is_message_of(envelope, row[0], row[1]):
            if JobState(row[2]).ended:
                return Receipt(envelope.id, "duplicate")
            failures = row[3]
            _die(transaction, envelope.id, letter.reason)
    is_new = transaction.execute(
        "INSERT INTO dead (id, type, key, sequence, reason, detail, failures, raw, envelope, headers, died_at, "
        "fingerprint) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        (
            letter.id,
            letter.type,
            letter.key,
            letter.sequence,
            letter.reason,
            letter.detail,
            failures,
            letter.raw,
            letter.packed,
            letter.headers,
            transaction.wall,
            letter.fingerprint,
        ),
    ).rowcount
    if is_new and envelope is not None and row is None:
        ending.tell(transaction, dump_end_notices(envelope, dump_trace), "dead")
    return Receipt(envelope.id if envelope else "", "dead")


def _die(transaction: Transaction, id: str, reason: str) -> None:
    group = ending.die(transaction, id, reason)
    job_groups.count(transaction, group, job_groups.UNENDED, job_groups.DEAD)


def is_message_of(envelope: Envelope, digest: bytes, key: str | None) -> bool:
    """Return whether it is the message of the job that has this digest and, by now, this key."""
    if key is None:
        return digest == keyless_digest_of(envelope)
    return digest == digest_of(envelope if envelope.key is not None else envelope.with_key(key))


def progress(transaction: Transaction, envelope: Envelope, fence: Fence, *, fraction: float, message: str) -> bool:
    """Note how far a running job is, if `fence` is the mark; tell whether it was."""
    if refusal(transaction, envelope.type, key_of(envelope), fence) is not None:
        return False
    noted = transaction.execute(
        "UPDATE jobs SET progress = ?, message = ? WHERE id = ? AND state = 'running'", (fraction, message, envelope.id)
    ).rowcount
    if noted:
        transaction.notify(job_topic(envelope.id))
    return True
