"""The repairs that only a command may do: requeue, purge, republish, skip."""

from __future__ import annotations

from collections.abc import Sequence

from jobkit.backends.sqlite import ending, given_up_sequences, job_groups, outbox, tenants
from jobkit.backends.sqlite.fail import is_message_of
from jobkit.backends.sqlite.sequences import is_taken, next_sequence
from jobkit.backends.sqlite.submit import insert_foreign
from jobkit.backends.sqlite.transaction import Transaction
from jobkit.backends.sqlite.unique import holder_of
from jobkit.errors import UniqueNameTaken
from jobkit.model.envelope import Envelope
from jobkit.ports.inspection import JobState
from jobkit.ports.notifier import job_topic
from jobkit.ports.rules import HIGHEST_GIVEN, beyond_sequences, nothing_to_skip

_NOT_ON_ITS_WAY = """
    j.ended IS NULL AND j.state NOT IN ('parked', 'scheduled')
    AND NOT EXISTS (SELECT 1 FROM outbox o WHERE o.position = j.entry)
    AND NOT EXISTS (SELECT 1 FROM inflight i WHERE i.job = j.number)
"""


def requeue_dead(transaction: Transaction, number: int) -> Envelope | None:
    """Put a dead letter's envelope into the outbox; where it is a job's own, the job starts afresh."""
    row = transaction.execute(
        "SELECT envelope FROM dead WHERE number = ? AND envelope IS NOT NULL", (number,)
    ).fetchone()
    if row is None:
        return None
    envelope = Envelope.unpack(row[0])
    job = transaction.execute(
        "SELECT number, digest, key, state, sequence, unique_name, member_of, settled IS NOT NULL, ordered FROM jobs "
        "WHERE id = ?",
        (envelope.id,),
    ).fetchone()
    if job is None:
        own = _in_turn(transaction, envelope, is_known=False)
        outbox.add(transaction, insert_foreign(transaction, own, JobState.QUEUED), outbox.UNTOLD)
    elif not is_message_of(envelope, job[1], job[2]):
        return None
    else:
        if envelope.key is None and job[2]:
            # A foreign publisher's message; the job has found its key since.
            envelope = envelope.with_key(job[2])
        if job[3] == JobState.DEAD:
            if job[5] is not None and (holder := holder_of(transaction, envelope.type, job[5])) is not None:
                raise UniqueNameTaken(number, job[5], holder.id)
            # The job's own place among those of its key counts, whatever the message said.
            own, sequence = envelope, None
            if job[4] is not None:
                own = _in_turn(transaction, envelope.with_sequence(job[4]), is_known=True)
                sequence = own.sequence
            elif job[8]:
                # It died before it was due, when it was to have one.
                sequence = next_sequence(transaction, envelope)
                own = envelope.with_sequence(sequence)
            _begin_anew(transaction, job[0], own, sequence)
            was = job_groups.PURGED if job[7] else job_groups.DEAD
            job_groups.count(transaction, job[6], was, job_groups.UNENDED)
    transaction.execute("DELETE FROM dead WHERE number = ?", (number,))
    transaction.notify(job_topic(envelope.id))
    return envelope


def _in_turn(transaction: Transaction, envelope: Envelope, *, is_known: bool) -> Envelope:
    """Return the envelope with its key's next sequence where its own can never have its turn."""
    if envelope.sequence is None or envelope.key is None:
        return envelope
    row = transaction.execute(
        "SELECT committed FROM keys WHERE type = ? AND key = ?", (envelope.type, envelope.key)
    ).fetchone()
    committed = 0 if row is None else row[0]
    if envelope.sequence > committed and (is_known or not is_taken(transaction, envelope, committed)):
        return envelope
    return envelope.with_sequence(next_sequence(transaction, envelope))


def _begin_anew(transaction: Transaction, job: int, envelope: Envelope, sequence: int | None) -> None:
    type, line, places = transaction.execute(
        "UPDATE jobs SET state = 'queued', sequence = ?, token = NULL, nonce = NULL, owner = NULL, opens = 0, "
        "failed = 0, failures = NULL, retry_at = NULL, told = NULL, silent = '', taken_over = NULL, progress = 0, "
        "message = '', started_at = NULL, finished_at = NULL, ended = NULL, settled = NULL, reason = NULL, due = NULL, "
        "ordered = NULL, priority = NULL, placed = NULL, "
        "unique_while = CASE unique_while WHEN 'begun' THEN 'queued' ELSE unique_while END WHERE number = ? "
        "RETURNING type, line, places",
        (sequence, job),
    ).fetchone()
    transaction.execute("INSERT INTO envelopes (job, envelope) VALUES (?, ?)", (job, envelope.pack()))
    if line is None or tenants.take_place(transaction, job, type, line, places):
        outbox.add(transaction, job, outbox.UNTOLD)


def purge_dead(transaction: Transaction, number: int) -> bool:
    """Delete a dead letter; tell whether there was one. Its job may be forgotten after its time."""
    row = transaction.execute("DELETE FROM dead WHERE number = ? RETURNING envelope", (number,)).fetchone()
    if row is not None and row[0] is not None:
        envelope = Envelope.unpack(row[0])
        job = transaction.execute(
            "SELECT number, digest, key, saved, member_of FROM jobs "
            "WHERE id = ? AND state = 'dead' AND settled IS NULL",
            (envelope.id,),
        ).fetchone()
        if job is not None and is_message_of(envelope, job[1], job[2]):
            transaction.execute("UPDATE jobs SET settled = ? WHERE number = ?", (transaction.now, job[0]))
            if job[3]:
                ending.drop_checkpoints(transaction, job[0])
            job_groups.count(transaction, job[4], job_groups.DEAD, job_groups.PURGED)
    return row is not None


def republish(transaction: Transaction, ids: Sequence[str]) -> list[str]:
    """Put the jobs into the outbox again that nothing here brings to a worker, in order; return which."""
    found = []
    for id in dict.fromkeys(ids):
        found += transaction.execute(
            f"SELECT j.number, j.id FROM jobs j WHERE j.id = ? AND {_NOT_ON_ITS_WAY}",  # noqa: S608  (from above)
            (id,),
        ).fetchall()
    for number, _ in sorted(found):
        outbox.add(transaction, number, outbox.UNTOLD)
    return [id for _, id in sorted(found)]


def skip_gap(transaction: Transaction, type: str, key: str, *, before: int) -> int:
    """Give up the sequences below `before`, and release the parked jobs that can run then; return how many."""
    row = transaction.execute("SELECT committed FROM keys WHERE type = ? AND key = ?", (type, key)).fetchone()
    expected = 1 if row is None else row[0] + 1
    if before <= expected:
        raise nothing_to_skip(type, key, expected, before)
    if before > HIGHEST_GIVEN:
        raise beyond_sequences(type, key)
    # What is submitted from now on comes after what was given up.
    transaction.execute(
        "INSERT INTO keys (type, key, token, submitted, touched) "
        "VALUES (?1, ?2, (SELECT floor FROM retention), ?3, ?4) "
        "ON CONFLICT DO UPDATE SET submitted = max(submitted, excluded.submitted)",
        (type, key, before - 1, transaction.now),
    )
    return given_up_sequences.give_up(transaction, type, key, expected, before - 1)
