"""Workers with a protection taken away, to see that the campaign notices.

Patched from outside, and only in worker processes that a test starts for it; nothing in jobkit knows of this.
"""

from __future__ import annotations

from jobkit.fence import Receipt
from jobkit.runner.job import Job
from jobkit.runner.lane import Lane
from jobkit.runner.wakeup import Wakeup


def ack_before_commit() -> None:
    """Have each delivery acked as soon as work on it begins."""
    careful = Lane._take

    async def take(self: Lane, wakeup: Wakeup) -> None:
        if isinstance(wakeup.job, Job):
            await wakeup.settle(Receipt(wakeup.job.envelope.id, "early"))
        await careful(self, wakeup)

    Lane._take = take  # type: ignore[method-assign]
