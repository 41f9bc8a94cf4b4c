"""Objects too large for a transaction, as values: what one is, and where one attempt writes them."""

from __future__ import annotations

from dataclasses import dataclass

from jobkit.model.fence import Fence


@dataclass(frozen=True, slots=True)
class BlobRef:
    """One stored object: its name within the job, where it lies, its size in bytes and its SHA-256 in hex.

    `job_id` is of the job that wrote it; "" where nobody said.
    """

    name: str
    location: str
    size: int
    sha256: str
    job_id: str = ""


@dataclass(frozen=True, slots=True)
class BlobSpace:
    """Where one attempt writes: a job key, under the fence of the attempt."""

    type: str
    key: str
    fence: Fence
