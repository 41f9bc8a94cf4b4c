"""Job types as workers publish them, for programs that do not have the code of those types."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class PublishedType:
    """One job type. `definition` says what its jobs take and return; the store does not read it.

    `published_at` is when a worker published it last, in Unix seconds by the store's clock.
    """

    name: str
    definition: bytes
    published_at: float = 0.0


class Types(Protocol):
    """The published types in a store. Every method is one transaction, and may raise `Unavailable`."""

    async def save_types(self, types: Sequence[PublishedType]) -> None:
        """Keep each of these types under its name, instead of what was published under it before. Idempotent."""
        ...

    async def types(self, names: Sequence[str] | None = None) -> Sequence[PublishedType]:
        """Return the types of these names that are published, or all, in order of names."""
        ...
