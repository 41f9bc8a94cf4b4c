"""`Types` on PostgreSQL: what workers publish of their job types."""

from __future__ import annotations

from collections.abc import Sequence

from jobkit.backends.postgres import types
from jobkit.backends.postgres.calls import Calls
from jobkit.backends.postgres.sanitize import fit
from jobkit.ports.types import PublishedType


class PostgresTypes(Calls):
    """`Types` in one database; a part of the `PostgresStore`."""

    async def save_types(self, published: Sequence[PublishedType]) -> None:
        if published:
            await self._look(types.SAVE, *types.columns(published))

    async def types(self, names: Sequence[str] | None = None) -> Sequence[PublishedType]:
        rows = await self._look(types.TYPES, None if names is None else list(map(fit, names)))
        return [types.published(row) for row in rows]
