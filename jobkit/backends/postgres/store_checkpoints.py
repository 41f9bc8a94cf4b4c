"""`Checkpoints` on PostgreSQL: what jobs keep of their work."""

from __future__ import annotations

from collections.abc import Sequence

from jobkit.backends.postgres import checkpoints
from jobkit.backends.postgres.calls import Calls
from jobkit.model.blob import BlobRef
from jobkit.model.envelope import Envelope
from jobkit.model.fence import Fence
from jobkit.ports.checkpoints import Checkpoint, SaveAnswer


class PostgresCheckpoints(Calls):
    """`Checkpoints` in one database; a part of the `PostgresStore`."""

    async def save_checkpoint(self, envelope: Envelope, fence: Fence, checkpoint: Checkpoint) -> SaveAnswer:
        row = await self._row(checkpoints.SAVE, *checkpoints.arguments(envelope, fence, checkpoint))
        return SaveAnswer(row["answer"])

    async def checkpoints(self, id: str) -> Sequence[Checkpoint]:
        return [checkpoints.checkpoint(row) for row in await self._look(checkpoints.ALL, id)]

    async def step_files(
        self, type: str, key: str, *, after: str = "", limit: int = 100
    ) -> tuple[Sequence[BlobRef], str | None]:
        return checkpoints.page(await self._look(checkpoints.FILES, type, key, int(after or 0), limit), limit)
