"""`Types` on Redis: what workers publish of their job types."""

from __future__ import annotations

from collections.abc import Sequence

from jobkit.backends.redis import types
from jobkit.backends.redis.calls import Calls
from jobkit.backends.redis.scripts import spelled
from jobkit.ports.types import PublishedType


class RedisTypes(Calls):
    """`Types` in one database; a part of the `RedisStore`."""

    async def save_types(self, published: Sequence[PublishedType]) -> None:
        if published:
            await self._scripts.run(types.SAVE, *types.save_arguments(published))

    async def types(self, names: Sequence[str] | None = None) -> Sequence[PublishedType]:
        if names is not None and not names:
            return []
        return types.published(await self._scripts.run(types.TYPES, *map(spelled, dict.fromkeys(names or ()))))
