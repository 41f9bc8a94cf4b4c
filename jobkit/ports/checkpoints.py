"""What jobs keep of their work until they end, a part of the store: their checkpoints, and what their steps came to."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Protocol

from jobkit.model.blob import BlobRef
from jobkit.model.envelope import Envelope
from jobkit.model.fence import Fence

# The step whose name no author can give: what is kept under it is the job's checkpoint.
CHECKPOINT = ""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What is kept of one step of a job, or, with `CHECKPOINT` for its name, of the job as a whole.

    `value` is JSON. `blobs` are the files that were written in the step. `version` rises each time something else is
    kept under the name. `at` is Unix time by the store's clock, for people.
    """

    step: str
    version: int
    value: bytes
    blobs: tuple[BlobRef, ...] = ()
    at: float = 0.0


class SaveAnswer(Enum):
    """What came of keeping a checkpoint."""

    SAVED = "saved"
    # Something is kept under the name whose version is no lower; nothing was written.
    NEWER = "newer"
    # The job has ended, or was opened under another fence since; nothing was written.
    REFUSED = "refused"


class Checkpoints(Protocol):
    """What is kept of jobs. It goes with the job's end, a dead one's when its letter is purged."""

    async def save_checkpoint(self, envelope: Envelope, fence: Fence, checkpoint: Checkpoint) -> SaveAnswer:
        """Keep what an opened job has come to, verifying the mark.

        A request that was under way for long overwrites nothing newer of the same name, nor anything of whoever opened
        the job since.
        """
        ...

    async def checkpoints(self, id: str) -> Sequence[Checkpoint]:
        """Return all that is kept of a job, what was first kept first."""
        ...

    async def step_files(
        self, type: str, key: str, *, after: str = "", limit: int = 100
    ) -> tuple[Sequence[BlobRef], str | None]:
        """Return the files kept with steps of a key's jobs, of about `limit` steps, and where to go on; None: nowhere.

        What is kept all the while is in one of the pages, maybe in several.
        """
        ...


def dump_blobs(blobs: Sequence[BlobRef]) -> str:
    """Return a step's files as stores keep them: JSON, or nothing where there are none."""
    return json.dumps([asdict(blob) for blob in blobs]) if blobs else ""


def load_blobs(stored: str | bytes | None) -> tuple[BlobRef, ...]:
    """Return the files that `dump_blobs` made this of."""
    return tuple(BlobRef(**item) for item in json.loads(stored)) if stored else ()
