"""What jobs keep of their work: their checkpoints and the results of their steps. The server verifies the fence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jobkit.backends.redis.open import holder
from jobkit.backends.redis.scripts import Argument
from jobkit.backends.redis.submit import store_script
from jobkit.model.blob import BlobRef
from jobkit.model.envelope import Envelope
from jobkit.model.fence import Fence
from jobkit.ports.checkpoints import Checkpoint, dump_blobs, load_blobs

SAVE = store_script("save_checkpoint")
ALL = store_script("checkpoints")
FILES = store_script("step_files")


def arguments(envelope: Envelope, fence: Fence, new: Checkpoint) -> Sequence[Argument]:
    """Return the arguments of `SAVE`."""
    return (*holder(envelope, fence), new.step, str(new.version), new.value, dump_blobs(new.blobs))


def checkpoints(rows: Sequence[Sequence[Any]]) -> list[Checkpoint]:
    """Return what the rows of `ALL` say, what was first kept first."""
    ordered = sorted(rows, key=lambda row: (int(row[5]), row[0]))
    return [
        Checkpoint(step.decode(), int(version), value, load_blobs(blobs), float(at))
        for step, version, value, blobs, at, _ in ordered
    ]


def page(row: Sequence[bytes]) -> tuple[list[BlobRef], str | None]:
    """Return the files in the answer of `FILES`, and where to go on."""
    following, *found = row
    return [blob for blobs in found for blob in load_blobs(blobs)], None if following == b"0" else following.decode()
