"""The blobs plane: bytes too large for a transaction.

Objects are immutable and written under `type/key/token-nonce/`, where nobody looks. They become visible only when
a store commit makes the key's manifest point at them; until then, and for a loser for ever, they are garbage.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from jobkit.fence import Fence


@dataclass(frozen=True, slots=True)
class BlobRef:
    """One stored object: its name within the job, where it lies, its size in bytes and its SHA-256 in hex."""

    name: str
    location: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class BlobSpace:
    """Where one attempt writes: a job key, under the fence of the attempt."""

    type: str
    key: str
    fence: Fence


class Blobs(Protocol):
    """A place for objects. Methods raise `Unavailable`, and `ConfigurationError` for what a person must mend."""

    async def store(self, space: BlobSpace, name: str, source: Path) -> BlobRef:
        """Make the file at `source` a durable object called `name` (relative, `/` between parts) and return it.

        The file may be moved away. Durable means: after a power cut, whole. Raises `FileExistsError` where this
        attempt already wrote that name, `ValueError` where the name leaves its space.
        """
        ...

    def scratch(self, space: BlobSpace) -> AbstractAsyncContextManager[Path]:
        """Lend an empty private directory, on a disk from which `store` need not copy; it is emptied at the end."""
        ...

    def read(self, location: str) -> AsyncIterator[bytes]:
        """Yield the object's bytes in chunks. Raises `FileNotFoundError`."""
        ...

    def locations(self) -> AsyncIterator[str]:
        """Yield the location of every object there is, committed or not, in no order."""
        ...

    async def delete(self, locations: Sequence[str]) -> None:
        """Remove objects; those that are gone already count as removed."""
        ...

    async def aclose(self) -> None:
        """Let go of connections."""
        ...
