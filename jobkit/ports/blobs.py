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

from jobkit.model.blob import BlobRef, BlobSpace


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object that there is, committed or not: where it lies and its size in bytes."""

    location: str
    size: int


@dataclass(frozen=True, slots=True)
class Leftover:
    """What a broken-off write left, or one that still goes on: no object, but it takes up `size` bytes.

    `location` is where it was bound for; None: it is of no object, and its writer is dead. `handle` is the backend's.
    """

    location: str | None
    handle: str
    size: int


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

    def read(self, location: str, *, start: int = 0, stop: int | None = None) -> AsyncIterator[bytes]:
        """Yield the object's bytes from `start` up to but without `stop`, in chunks; None: to its end.

        Beyond its end there are none. Raises `FileNotFoundError`.
        """
        ...

    async def size(self, location: str) -> int:
        """Return the object's size in bytes. Raises `FileNotFoundError`."""
        ...

    async def link(self, location: str, *, seconds: float, media_type: str) -> str | None:
        """Return a URL from which anybody can read the object for so long; None where the backend can make none.

        Raises `ValueError` for a time that the backend does not take.
        """
        ...

    def objects(self) -> AsyncIterator[StoredObject]:
        """Yield every object there is, committed or not, those of a key side by side. Others' files are yielded too."""
        ...

    async def delete(self, locations: Sequence[str]) -> None:
        """Remove objects; those that are gone already count as removed."""
        ...

    def leftovers(self) -> AsyncIterator[Leftover]:
        """Yield what broken-off writes left, and writes that are under way; only its location tells which it is."""
        ...

    async def discard(self, leftovers: Sequence[Leftover]) -> None:
        """Remove leftovers; those that are gone already count as removed. A write that is under way is broken off."""
        ...

    async def aclose(self) -> None:
        """Let go of connections."""
        ...
