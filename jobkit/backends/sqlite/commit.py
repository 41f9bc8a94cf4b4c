"""Committing a job: verify the mark, the id and the sequence, and write every effect, in one transaction."""

from __future__ import annotations

from jobkit.backends.sqlite import ending, job_groups, outbox, park, tenants
from jobkit.backends.sqlite.transaction import Transaction
from jobkit.backends.sqlite.unique import accept
from jobkit.errors import JobConflict
from jobkit.model.envelope import Envelope
from jobkit.model.fence import Fence, Receipt
from jobkit.ports.inspection import JobState
from jobkit.ports.rules import dump_manifest, key_of, receipt_of_ended
from jobkit.ports.store import Accepted, Committed, Conflict, Duplicate, Effects, OutboxEntry, Refused

_LOOK = """
    SELECT coalesce(k.token, (SELECT floor FROM retention)), k.nonce, coalesce(k.committed, 0),
           coalesce(k.log_length, 0),
           j.state, j.token, j.nonce, j.sequence, j.number,
           (SELECT position FROM outbox WHERE position = j.entry),
           EXISTS (SELECT 1 FROM inflight WHERE job = j.number)
           OR EXISTS (SELECT 1 FROM parked p WHERE p.type = ?1 AND p.key = ?2),
           (SELECT last FROM skipped s WHERE s.type = ?1 AND s.key = ?2 AND s.first = j.sequence + 1),
           j.saved, j.member_of, j.line
    FROM (SELECT 1) LEFT JOIN keys k ON k.type = ?1 AND k.key = ?2 LEFT JOIN jobs j ON j.id = ?3
"""


def commit_job(
    transaction: Transaction, envelope: Envelope, fence: Fence, effects: Effects
) -> Committed | Duplicate | Refused:
    """Write the job's effects and end it, as `Store.commit` says.

    Raises `JobConflict` where a follow-up's id is known with another body; then nothing is written.
    """
    key = key_of(envelope)
    row = transaction.execute(_LOOK, (envelope.type, key, envelope.id)).fetchone()
    mark, mark_nonce, committed, log_length, *job = row
    state, token, nonce, sequence, number, entry, aside, given_up, saved, group, line = job
    opened_under_fence = (token, nonce) == (fence.token, fence.nonce)
    if state == JobState.COMMITTED and opened_under_fence:
        # The answer was lost and is asked for again; that the mark may have moved on since changes nothing.
        return Committed(Receipt(envelope.id, "committed"), outbox.released_by(transaction, envelope.id))
    if state is not None and JobState(state).ended:
        return Duplicate(receipt_of_ended(envelope.id, state))
    in_turn = sequence is None or sequence == committed + 1
    if (mark, mark_nonce) != (fence.token, fence.nonce) or not opened_under_fence or not in_turn:
        # Under the mark a job that was opened stays the next one, unless an operator skipped its sequence meanwhile.
        return Refused(mark)
    _write(transaction, envelope, fence, effects, sequence, log_length)
    # What is deleted is looked for first: a job that went its way is in none of these tables any more.
    ending.leave(transaction, envelope.id, number, entry, aside=bool(aside))
    if saved:
        ending.drop_checkpoints(transaction, number)
    if sequence is not None:
        # What was given up behind it is passed over.
        committed = sequence if given_up is None else given_up
    transaction.execute(
        "UPDATE keys SET committed = ?, log_length = ?, touched = ? WHERE type = ? AND key = ?",
        (committed, log_length + len(effects.entries), transaction.now, envelope.type, key),
    )
    released: list[OutboxEntry] = []
    if aside and sequence is not None:
        released += park.release_next(transaction, envelope.type, key, committed + 1, source=envelope.id)
    released += _follow_ups(transaction, envelope, effects)
    # After them, for one may take its place in the group.
    released += job_groups.count(transaction, group, job_groups.UNENDED, JobState.COMMITTED, envelope.id)
    released += tenants.give_places(transaction, envelope.type, line, envelope.id)
    return Committed(Receipt(envelope.id, "committed"), released)


def _write(
    transaction: Transaction,
    envelope: Envelope,
    fence: Fence,
    effects: Effects,
    sequence: int | None,
    log_length: int,
) -> None:
    transaction.execute(
        "UPDATE jobs SET state = 'committed', result = ?, progress = 1.0, finished_at = ?, ended = ?3, settled = ?3 "
        "WHERE id = ?4",
        (effects.result, transaction.wall, transaction.now, envelope.id),
    )
    if effects.records:
        transaction.executemany(
            "REPLACE INTO records (type, key, name, value) VALUES (?, ?, ?, ?)",
            [(envelope.type, envelope.key, name, value) for name, value in effects.records.items()],
        )
    if effects.entries:
        transaction.executemany(
            "INSERT INTO log (type, key, position, kind, data, job_id, sequence, token, at) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (
                    envelope.type,
                    envelope.key,
                    position,
                    entry.kind,
                    entry.data,
                    envelope.id,
                    sequence,
                    fence.token,
                    transaction.wall,
                )
                for position, entry in enumerate(effects.entries, start=log_length + 1)
            ],
        )
    if effects.blobs:
        transaction.execute(
            "REPLACE INTO manifests (type, key, blobs) VALUES (?, ?, ?)",
            (envelope.type, envelope.key, dump_manifest(effects.blobs)),
        )


def _follow_ups(transaction: Transaction, envelope: Envelope, effects: Effects) -> list[OutboxEntry]:
    released: dict[str | None, OutboxEntry] = {}
    for job in effects.follow_ups:
        answer = accept(transaction, job, source=envelope.id)
        if isinstance(answer, Conflict):
            raise JobConflict(
                f"job {envelope.id} cannot commit: its follow-up {answer.id} is known with another type, key or payload"
            )
        if isinstance(answer, Accepted):
            # One that follows from this job, too, and has the same unique name.
            released.pop(answer.replaced, None)
            if answer.position is not None:
                released[answer.envelope.id] = OutboxEntry(answer.position, answer.envelope)
    return list(released.values())
