"""What jobs keep of their work: their checkpoints and the results of their steps. The server verifies the fence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jobkit.backends.postgres.fail import fenced
from jobkit.model.blob import BlobRef
from jobkit.model.envelope import Envelope
from jobkit.model.fence import Fence
from jobkit.ports.checkpoints import Checkpoint, dump_blobs, load_blobs

SAVE = "SELECT jobkit.save_checkpoint($1, $2, $3, $4, $5, $6, $7, $8, $9) AS answer"
ALL = "SELECT step, version, value, blobs, at FROM jobkit.checkpoints WHERE id = $1 ORDER BY number"
FILES = (
    "SELECT number, blobs FROM jobkit.checkpoints "
    "WHERE type = $1 AND key = $2 AND blobs <> '' AND number > $3 ORDER BY number LIMIT $4"
)


def arguments(envelope: Envelope, fence: Fence, new: Checkpoint) -> tuple[Any, ...]:
    """Return the arguments of `SAVE`."""
    return (*fenced(envelope, fence), new.step, new.version, new.value, dump_blobs(new.blobs))


def checkpoint(row: Mapping[str, Any]) -> Checkpoint:
    """Return what a row of `ALL` says."""
    return Checkpoint(row["step"], row["version"], row["value"], load_blobs(row["blobs"]), row["at"])


def page(rows: Sequence[Mapping[str, Any]], limit: int) -> tuple[list[BlobRef], str | None]:
    """Return the files in the rows of `FILES`, and behind which number there may be more."""
    files = [blob for row in rows for blob in load_blobs(row["blobs"])]
    return files, str(rows[-1]["number"]) if len(rows) == limit else None
