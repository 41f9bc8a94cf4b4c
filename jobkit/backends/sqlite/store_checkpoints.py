"""`Checkpoints` on SQLite: what jobs keep of their work."""

from __future__ import annotations

from collections.abc import Sequence

from jobkit.backends.sqlite import checkpoints
from jobkit.backends.sqlite.calls import Calls
from jobkit.model.blob import BlobRef
from jobkit.model.envelope import Envelope
from jobkit.model.fence import Fence
from jobkit.ports.checkpoints import Checkpoint, SaveAnswer


class SqliteCheckpoints(Calls):
    """`Checkpoints` on the engine's database; a part of the `SqliteStore`."""

    async def save_checkpoint(self, envelope: Envelope, fence: Fence, checkpoint: Checkpoint) -> SaveAnswer:
        return await self._plane.write(checkpoints.save, envelope, fence, checkpoint)

    async def checkpoints(self, id: str) -> Sequence[Checkpoint]:
        return await self._plane.read(checkpoints.checkpoints, id)

    async def step_files(
        self, type: str, key: str, *, after: str = "", limit: int = 100
    ) -> tuple[Sequence[BlobRef], str | None]:
        return await self._plane.read(checkpoints.step_files, type, key, after=after, limit=limit)
