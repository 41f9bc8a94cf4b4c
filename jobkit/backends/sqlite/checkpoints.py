"""What jobs keep of their work: their checkpoints and the results of their steps, under the fence like all else."""

from __future__ import annotations

from jobkit.backends.sqlite.open import refusal
from jobkit.backends.sqlite.transaction import Transaction
from jobkit.model.blob import BlobRef
from jobkit.model.envelope import Envelope
from jobkit.model.fence import Fence
from jobkit.ports.checkpoints import Checkpoint, SaveAnswer, dump_blobs, load_blobs
from jobkit.ports.rules import key_of

_SAVE = """
    INSERT INTO checkpoints (job, step, version, type, key, value, blobs, at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (job, step) DO UPDATE
    SET version = excluded.version, value = excluded.value, blobs = excluded.blobs, at = excluded.at
    WHERE checkpoints.version < excluded.version
"""
_ALL = """
    SELECT step, version, value, blobs, at FROM checkpoints
    WHERE job = (SELECT number FROM jobs WHERE id = ?) ORDER BY number
"""
_FILES = """
    SELECT number, blobs FROM checkpoints
    WHERE type = ? AND key = ? AND blobs <> '' AND number > ? ORDER BY number LIMIT ?
"""


def save(transaction: Transaction, envelope: Envelope, fence: Fence, new: Checkpoint) -> SaveAnswer:
    """Keep what an opened job has come to, as `Checkpoints.save_checkpoint` says."""
    key = key_of(envelope)
    row = transaction.execute("SELECT number, token, nonce, ended FROM jobs WHERE id = ?", (envelope.id,)).fetchone()
    if row is None or row[1:] != (fence.token, fence.nonce, None):
        return SaveAnswer.REFUSED
    if refusal(transaction, envelope.type, key, fence) is not None:
        return SaveAnswer.REFUSED
    kept = (new.step, new.version, envelope.type, key, new.value, dump_blobs(new.blobs), transaction.wall)
    if not transaction.execute(_SAVE, (row[0], *kept)).rowcount:
        return SaveAnswer.NEWER
    transaction.execute("UPDATE jobs SET saved = 1 WHERE number = ? AND saved IS NULL", (row[0],))
    return SaveAnswer.SAVED


def checkpoints(transaction: Transaction, id: str) -> list[Checkpoint]:
    """Return all that is kept of a job."""
    rows = transaction.execute(_ALL, (id,)).fetchall()
    return [Checkpoint(step, version, value, load_blobs(blobs), at) for step, version, value, blobs, at in rows]


def step_files(
    transaction: Transaction, type: str, key: str, *, after: str, limit: int
) -> tuple[list[BlobRef], str | None]:
    """Return the files kept with steps of a key's jobs, a page of them."""
    rows = transaction.execute(_FILES, (type, key, int(after or 0), limit)).fetchall()
    return [blob for _, blobs in rows for blob in load_blobs(blobs)], str(rows[-1][0]) if len(rows) == limit else None
