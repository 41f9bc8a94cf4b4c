"""Opening a job: register the fence as its key's mark, and tell what to do with the job.

The order of the questions matters. That a job has ended is told to anybody. All else is told, and written, only to
who holds a fence that is not lower than the mark.
"""

from __future__ import annotations

from typing import NamedTuple

from jobkit.backends.sqlite import cancel
from jobkit.backends.sqlite.history import load_failures
from jobkit.backends.sqlite.sequences import is_skipped, is_taken
from jobkit.backends.sqlite.submit import insert_foreign
from jobkit.backends.sqlite.transaction import Transaction
from jobkit.model.envelope import Envelope
from jobkit.model.fence import Fence, Receipt
from jobkit.model.partition import slot_of
from jobkit.ports.inspection import JobState
from jobkit.ports.rules import SILENT_KEPT, TAKE_OVERS_KEPT, digest_of, key_of, keyless_digest_of, receipt_of_ended
from jobkit.ports.store import Conflict, Duplicate, Early, Gap, OpenAnswer, Opened, Refused, Skipped, Stale, Superseded
from jobkit.ports.take_over import TakeOver, dump_take_over

# One statement for all that opening asks: the key's row and the job's row, either of which may be missing.
_LOOK = """
    SELECT k.token, k.nonce, coalesce(k.committed, 0), coalesce(k.forgotten, 0), (SELECT floor FROM retention),
           coalesce(k.log_length, 0), j.digest, j.number, j.key, j.sequence, j.state, j.token, j.nonce, j.opens,
           j.failures, j.owner, j.retry_at, j.told, j.silent, j.expires, j.unique_while, j.priority
    FROM (SELECT 1) LEFT JOIN keys k ON k.type = ? AND k.key = ? LEFT JOIN jobs j ON j.id = ?
"""


class _KnownJob(NamedTuple):
    digest: bytes
    number: int
    key: str | None
    sequence: int | None
    state: str
    token: int | None
    nonce: str | None
    opens: int
    failures: str | None
    owner: str | None
    retry_at: float | None
    told: str | None
    silent: str
    expires: float | None
    unique_while: str | None
    priority: str | None

    def is_same(self, envelope: Envelope) -> bool:
        """Tell whether it is the same job; one submitted without a key was digested without the one derived since."""
        return self.digest == (digest_of(envelope) if self.key is not None else keyless_digest_of(envelope))


def open_job(transaction: Transaction, envelope: Envelope, fence: Fence) -> OpenAnswer:
    """Set the mark and answer, as `Store.open` says."""
    key = key_of(envelope)
    row = transaction.execute(_LOOK, (envelope.type, key, envelope.id)).fetchone()
    mark_token, mark_nonce, committed, forgotten, floor, log_length = row[:6]
    job = _KnownJob(*row[6:]) if row[6] is not None else None
    same = job is None or job.is_same(envelope)
    if job is not None and same and job.state == JobState.SCHEDULED:
        return Duplicate(Receipt(envelope.id, "scheduled"))
    if job is not None and same and JobState(job.state).ended:
        return Duplicate(receipt_of_ended(envelope.id, job.state))
    if job is not None and same and job.expires is not None and job.expires <= transaction.wall:
        cancel.expire(transaction, [envelope.id])
        return Duplicate(Receipt(envelope.id, "expired"))
    if job is not None and same and job.priority is not None and job.priority != envelope.priority:
        return Duplicate(Receipt(envelope.id, "moved"))
    if mark_token is None:
        mark_token = floor
    if (fence.token, fence.nonce) != (mark_token, mark_nonce):
        if fence.token <= mark_token:
            return Stale(mark_token)
        set_mark(transaction, envelope.type, key, fence)
    if not same:
        return Conflict(envelope.id)
    sequence = envelope.sequence if job is None else job.sequence
    if job is None and is_taken(transaction, envelope, committed):
        return Superseded(sequence or 0)
    if sequence is not None and sequence != committed + 1:
        return _out_of_turn(transaction, envelope, key, sequence, committed, forgotten, job)
    if job is not None and job.retry_at is not None and job.retry_at > transaction.now:
        return Early(job.retry_at - transaction.now)
    return _start(transaction, envelope, fence, job, log_length)


def set_mark(transaction: Transaction, type: str, key: str, fence: Fence) -> None:
    """Make `fence` the key's mark, which must not be higher."""
    transaction.execute(
        "INSERT INTO keys (type, key, token, nonce, owner, touched) VALUES (?, ?, ?, ?, ?, ?) "
        "ON CONFLICT DO UPDATE SET token = excluded.token, nonce = excluded.nonce, owner = excluded.owner, "
        "touched = excluded.touched",
        (type, key, fence.token, fence.nonce, fence.owner, transaction.now),
    )


def _start(
    transaction: Transaction, envelope: Envelope, fence: Fence, job: _KnownJob | None, log_length: int
) -> Opened:
    if job is None:
        insert_foreign(transaction, envelope, JobState.RUNNING)
    elif (job.token, job.nonce) == (fence.token, fence.nonce) and job.state == JobState.RUNNING:
        return Opened(job.opens, load_failures(job.failures), log_length, job.silent.count(" "))
    if job is not None and job.key is None:
        transaction.execute(
            "UPDATE jobs SET key = ?, slot = ?, digest = ? WHERE number = ?",
            (envelope.key, slot_of(envelope.key), digest_of(envelope), job.number),
        )
        transaction.execute("UPDATE envelopes SET envelope = ? WHERE job = ?", (envelope.pack(), job.number))
    silent = "" if job is None else _silent(job, fence)
    transaction.execute(
        "UPDATE jobs SET state = 'running', token = ?, nonce = ?, owner = ?, opens = opens + 1, "
        "started_at = coalesce(started_at, ?), retry_at = NULL, told = NULL, silent = ? WHERE id = ?",
        (fence.token, fence.nonce, fence.owner, transaction.wall, silent, envelope.id),
    )
    if job is None:
        return Opened(1, (), log_length)
    if job.state == JobState.RUNNING and job.owner != fence.owner:
        _note_take_over(transaction, job)
    if job.expires is not None:
        transaction.execute("UPDATE jobs SET expires = NULL WHERE number = ?", (job.number,))
    if job.unique_while == "queued":
        transaction.execute("UPDATE jobs SET unique_while = 'begun' WHERE number = ?", (job.number,))
    return Opened(job.opens + 1, load_failures(job.failures), log_length, silent.count(" "))


def _note_take_over(transaction: Transaction, job: _KnownJob) -> None:
    (before,) = transaction.execute("SELECT taken_over FROM jobs WHERE number = ?", (job.number,)).fetchone()
    lines = (before or "").splitlines()
    lines.append(dump_take_over(TakeOver(job.owner or "", job.token or 0, transaction.wall)))
    kept = "\n".join(lines[-TAKE_OVERS_KEPT:])
    transaction.execute("UPDATE jobs SET taken_over = ? WHERE number = ?", (kept, job.number))


def _silent(job: _KnownJob, fence: Fence) -> str:
    """Return the starts before this one whose end nobody reported. Who comes back has evidently lived."""
    if job.state != JobState.RUNNING or job.owner == fence.owner or job.told == job.nonce:
        return job.silent
    return "".join(f"{nonce} " for nonce in [*job.silent.split(), job.nonce][-SILENT_KEPT:])


def _out_of_turn(
    transaction: Transaction,
    envelope: Envelope,
    key: str,
    sequence: int,
    committed: int,
    forgotten: int,
    job: _KnownJob | None,
) -> Gap | Skipped | Duplicate | Superseded:
    if sequence > committed + 1:
        if job is None:
            insert_foreign(transaction, envelope, JobState.QUEUED)
        return Gap(committed + 1, is_blocked(transaction, envelope.type, key, committed + 1))
    if is_skipped(transaction, envelope.type, key, sequence):
        if job is None:
            insert_foreign(transaction, envelope, JobState.QUEUED)
        return Skipped(committed + 1)
    if job is None and sequence <= forgotten:
        # It ended so long ago that retention forgot its id; the sequence still tells.
        return Duplicate(Receipt(envelope.id, "forgotten"))
    # The sequence was committed by a job with another id: no order is left for this one, and a person must decide.
    return Superseded(sequence)


def is_blocked(transaction: Transaction, type: str, key: str, expected: int) -> bool:
    """Tell whether sequence `expected` of the key will not come by itself."""
    (blocked,) = transaction.execute(
        "SELECT EXISTS (SELECT 1 FROM parked WHERE type = ?1 AND key = ?2) "
        "OR EXISTS (SELECT 1 FROM dead WHERE type = ?1 AND key = ?2 AND sequence = ?3) "
        "OR EXISTS (SELECT 1 FROM jobs WHERE type = ?1 AND key = ?2 AND state = 'dead' AND sequence = ?3)",
        (type, key, expected),
    ).fetchone()
    return bool(blocked)


def refusal(transaction: Transaction, type: str, key: str, fence: Fence) -> Refused | None:
    """Return a refusal where `fence` is not the key's mark."""
    row = transaction.execute("SELECT token, nonce FROM keys WHERE type = ? AND key = ?", (type, key)).fetchone()
    if row == (fence.token, fence.nonce):
        return None
    if row is None:
        row = transaction.execute("SELECT floor FROM retention").fetchone()
    return Refused(row[0])
