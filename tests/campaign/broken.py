"""Workers with a protection taken away, to see that the campaign notices, and ones whose machine is not well.

Patched from outside, and only in worker processes that a test starts for it; nothing in jobkit knows of this.
"""

from __future__ import annotations

from jobkit.model.clock import SystemClock
from jobkit.model.fence import Receipt
from jobkit.plugin.checkpoints import KeptWork
from jobkit.ports.checkpoints import Checkpoint
from jobkit.runner.decode import Job
from jobkit.runner.lane import Lane
from jobkit.runner.pending_delivery import PendingDelivery


def ack_before_commit() -> None:
    """Have each delivery acked as soon as work on it begins."""
    careful = Lane._take

    async def take(self: Lane, pending: PendingDelivery) -> None:
        if isinstance(pending.job, Job):
            await pending.settle(Receipt(pending.job.envelope.id, "early"))
        await careful(self, pending)

    Lane._take = take  # type: ignore[method-assign]


def wall_clock_is_wrong_by(seconds: float) -> None:
    """Have the machine's wall clock be wrong."""
    right = SystemClock.wall
    SystemClock.wall = lambda self: right(self) + seconds  # type: ignore[method-assign]


def kept_work_is_not_looked_for() -> None:
    """Have each attempt take it that nothing is kept."""

    async def kept(self: KeptWork, *, again: bool = False) -> dict[str, Checkpoint]:
        self._found = self._found or {}
        return self._found

    KeptWork._kept = kept  # type: ignore[method-assign]
