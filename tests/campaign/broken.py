"""Workers with a protection taken away, to see that the campaign notices, and ones whose machine is not well.

Patched from outside, and only in worker processes that a test starts for it; nothing in jobkit knows of this.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import anyio

from jobkit.model.clock import SystemClock
from jobkit.model.fence import Receipt
from jobkit.plugin.checkpoints import KeptWork
from jobkit.ports.checkpoints import Checkpoint
from jobkit.ports.inspection import Inspection
from jobkit.ports.schedules import KeptSchedule
from jobkit.ports.store import NewJob, SubmitAnswer
from jobkit.runner.decode import Job
from jobkit.runner.lane import Lane
from jobkit.runner.pending_delivery import PendingDelivery
from jobkit.worker.maintenance.schedule_ticks import Ticker


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


class _TwoWrites:
    """An inspection that keeps how far a schedule has come in one write, and accepts its jobs in another."""

    def __init__(self, inspection: Inspection, seconds: float) -> None:
        self._inspection = inspection
        self._seconds = seconds

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inspection, name)

    async def save_schedule(self, schedule: KeptSchedule, jobs: Sequence[NewJob] = ()) -> Sequence[SubmitAnswer] | None:
        answers = await self._inspection.save_schedule(schedule)
        if answers is None or not jobs:
            return answers
        await anyio.sleep(self._seconds)
        kept = await self._inspection.schedule(schedule.name)
        return None if kept is None else await self._inspection.save_schedule(kept, jobs)


def ticks_are_fired_apart(seconds: float) -> None:
    """Have a schedule move on first, and its job be accepted so much later."""
    whole = Ticker.__init__

    def init(self: Ticker, inspection: Inspection, *rest: Any, **more: Any) -> None:
        whole(self, cast(Inspection, _TwoWrites(inspection, seconds)), *rest, **more)

    Ticker.__init__ = init  # type: ignore[method-assign]
