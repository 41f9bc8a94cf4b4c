"""`Types` on SQLite: what workers publish of their job types."""

from __future__ import annotations

from collections.abc import Sequence

from jobkit.backends.sqlite import types
from jobkit.backends.sqlite.calls import Calls
from jobkit.ports.types import PublishedType


class SqliteTypes(Calls):
    """`Types` on the engine's database; a part of the `SqliteStore`."""

    async def save_types(self, published: Sequence[PublishedType]) -> None:
        if published:
            await self._plane.write(types.save, published)

    async def types(self, names: Sequence[str] | None = None) -> Sequence[PublishedType]:
        return await self._plane.read(types.types, names)
