"""`Checkpoints` on Redis: what jobs keep of their work."""

from __future__ import annotations

from collections.abc import Sequence

from jobkit.backends.redis import checkpoints
from jobkit.backends.redis.calls import Calls
from jobkit.backends.redis.scripts import spelled
from jobkit.model.blob import BlobRef
from jobkit.model.envelope import Envelope
from jobkit.model.fence import Fence
from jobkit.ports.checkpoints import Checkpoint, SaveAnswer


class RedisCheckpoints(Calls):
    """`Checkpoints` in one database; a part of the `RedisStore`."""

    async def save_checkpoint(self, envelope: Envelope, fence: Fence, checkpoint: Checkpoint) -> SaveAnswer:
        arguments = checkpoints.arguments(envelope, fence, checkpoint)
        return SaveAnswer((await self._scripts.run(checkpoints.SAVE, *arguments)).decode())

    async def checkpoints(self, id: str) -> Sequence[Checkpoint]:
        return checkpoints.checkpoints(await self._looks.run(checkpoints.ALL, spelled(id)))

    async def step_files(
        self, type: str, key: str, *, after: str = "", limit: int = 100
    ) -> tuple[Sequence[BlobRef], str | None]:
        return checkpoints.page(await self._looks.run(checkpoints.FILES, type, key, after or "0", str(limit)))
