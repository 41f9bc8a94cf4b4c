"""Forgetting: jobs that nobody has to act on after their time, and the marks of keys that nobody uses.

Only keys without any other truth lose their row: no sequences, no log, no records, no manifest, no files of steps, no
job that has yet to end. For the rest the row is the truth. The highest mark forgotten becomes the floor for keys
without a row, so a forgotten key accepts no token that it would have refused.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from jobkit.backends.sqlite import cancel
from jobkit.backends.sqlite.transaction import Transaction
from jobkit.model.blob import BlobRef
from jobkit.model.job_group import NEVER_WHOLE, NOT_AWAITED
from jobkit.ports.groups import DECLARED_WITHIN
from jobkit.ports.rules import ENDED_BY_JOBKIT, KEYS_PER_JOB, dump_manifest

_IDLE_KEYS = """
    SELECT k.type, k.key, k.token,
           k.touched <= ? AND k.submitted = 0 AND k.committed = 0 AND k.log_length = 0
           AND NOT EXISTS (SELECT 1 FROM records r WHERE r.type = k.type AND r.key = k.key)
           AND NOT EXISTS (SELECT 1 FROM manifests m WHERE m.type = k.type AND m.key = k.key)
           AND NOT EXISTS (SELECT 1 FROM checkpoints c WHERE c.type = k.type AND c.key = k.key AND c.blobs <> '')
           AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.type = k.type AND j.key = k.key
                           AND j.ended IS NULL)
    FROM keys k WHERE (k.type, k.key) > (?, ?) ORDER BY k.type, k.key LIMIT ?
"""

_KNOWN = "SELECT sum(n) FROM tallies WHERE name IN ('state committed', 'state cancelled', 'state expired', 'purged')"

_OLDEST = """
    SELECT j.number, j.type, j.key, j.sequence, j.settled,
           j.state <> 'committed' AND j.sequence IS NOT NULL
           AND j.sequence > coalesce((SELECT committed FROM keys k WHERE k.type = j.type AND k.key = j.key), 0)
           OR EXISTS (SELECT 1 FROM outbox WHERE position = j.entry)
           OR EXISTS (SELECT 1 FROM inflight WHERE job = j.number)
           OR EXISTS (SELECT 1 FROM parked WHERE job = j.number)
           OR EXISTS (SELECT 1 FROM job_groups WHERE id = j.member_of)
           OR EXISTS (SELECT 1 FROM job_groups WHERE id = j.id AND unended > 0 AND NOT abandoned),
           j.id
    FROM jobs j WHERE j.settled IS NOT NULL ORDER BY j.settled, j.number LIMIT ?
"""


def prune(transaction: Transaction, *, older_than: float, keep_at_most: int, batch: int) -> int:
    """Forget up to `batch` jobs and look at a share of the keys; return how many jobs went."""
    before = transaction.now - older_than
    _drop_group(transaction, batch)
    gone = _forget_jobs(transaction, before, keep_at_most, batch)
    _forget_keys(transaction, before, batch * KEYS_PER_JOB)
    return gone


def _forget_jobs(transaction: Transaction, before: float, keep_at_most: int, batch: int) -> int:
    (known,) = transaction.execute(_KNOWN).fetchone()
    surplus = max(0, known - keep_at_most)
    oldest = transaction.execute(_OLDEST, (batch,)).fetchall()
    past = [row for place, row in enumerate(oldest) if place < surplus or row[4] < before]
    # One that holds its key up, or that anything refers to, comes last the next time.
    kept = [(transaction.now, number) for number, *_, held, _ in past if held]
    going = [(number, type, key, sequence) for number, type, key, sequence, _, held, _ in past if not held]
    transaction.executemany("UPDATE jobs SET settled = ? WHERE number = ?", kept)
    transaction.executemany(
        "UPDATE keys SET forgotten = max(forgotten, ?) WHERE type = ? AND key = ?",
        [(sequence, type, key) for _, type, key, sequence in going if sequence is not None],
    )
    transaction.executemany("DELETE FROM jobs WHERE number = ?", [(number,) for number, *_ in going])
    transaction.executemany("DELETE FROM job_groups WHERE id = ?", [(id,) for *_, held, id in past if not held])
    return len(going)


def _drop_group(transaction: Transaction, batch: int) -> None:
    """End so many members of a group that was never declared whole, or that nobody waits for, and `then` last."""
    found = transaction.execute(
        "SELECT id, coalesce(parent = id, 0) FROM job_groups WHERE undeclared > 0 AND touched < ? LIMIT 1",
        (transaction.now - DECLARED_WITHIN,),
    ).fetchone()
    if found is None:
        return
    *row, is_awaited = found
    transaction.execute("UPDATE job_groups SET abandoned = 1, settled = 1 WHERE id = ?", row)
    rows = transaction.execute(
        "SELECT id FROM jobs WHERE member_of = ? AND ended IS NULL LIMIT ?", (*row, batch)
    ).fetchall()
    if len(rows) < batch:
        rows.append((row[0],))
        transaction.execute("UPDATE job_groups SET undeclared = 0, to_release = 0 WHERE id = ?", row)
    reason = NOT_AWAITED if is_awaited else NEVER_WHOLE
    cancel.cancel(transaction, [id for (id,) in rows], by=ENDED_BY_JOBKIT, reason=reason)


def _forget_keys(transaction: Transaction, before: float, limit: int) -> None:
    """Look at the next `limit` keys, where the last look ended; each key's turn comes round."""
    cursor = transaction.execute("SELECT cursor_type, cursor_key FROM retention").fetchone()
    rows = transaction.execute(_IDLE_KEYS, (before, *cursor, limit)).fetchall()
    idle = [(type, key) for type, key, _, is_idle in rows if is_idle]
    floor = max((token for _, _, token, is_idle in rows if is_idle), default=0)
    next_cursor = rows[-1][:2] if len(rows) == limit else ("", "")
    transaction.executemany("DELETE FROM keys WHERE type = ? AND key = ?", idle)
    transaction.execute(
        "UPDATE retention SET floor = max(floor, ?), cursor_type = ?, cursor_key = ?", (floor, *next_cursor)
    )


def old_entries(
    transaction: Transaction, type: str, key: str, *, upto: int, older_than: float, limit: int
) -> list[int]:
    """Return the positions of the first entries of a key's log up to a position, those that are old enough."""
    rows = transaction.execute(
        "SELECT position, at FROM log WHERE type = ? AND key = ? AND position <= ? ORDER BY position LIMIT ?",
        (type, key, upto, limit),
    )
    before = transaction.wall - older_than
    return [position for position, _ in itertools.takewhile(lambda row: row[1] <= before, rows)]


def trim_log(transaction: Transaction, type: str, key: str, *, upto: int, older_than: float, limit: int) -> int:
    """Drop the `old_entries`; return how many."""
    going = old_entries(transaction, type, key, upto=upto, older_than=older_than, limit=limit)
    if going:
        transaction.execute("DELETE FROM log WHERE type = ? AND key = ? AND position <= ?", (type, key, going[-1]))
        transaction.execute("UPDATE keys SET log_trimmed = ? WHERE type = ? AND key = ?", (going[-1], type, key))
    return len(going)


def drop_files(transaction: Transaction, type: str, key: str, files: Sequence[BlobRef]) -> bool:
    """Take a key's manifest away, where it has just these files and no job of the key has yet to end."""
    gone = transaction.execute(
        "DELETE FROM manifests WHERE type = ?1 AND key = ?2 AND blobs = ?3 "
        "AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.type = ?1 AND j.key = ?2 AND j.ended IS NULL)",
        (type, key, dump_manifest(files)),
    ).rowcount
    if gone:
        # The row stays for its time, so that a sweep knows what the bytes were of.
        transaction.execute("UPDATE keys SET touched = ? WHERE type = ? AND key = ?", (transaction.now, type, key))
    return bool(gone)
