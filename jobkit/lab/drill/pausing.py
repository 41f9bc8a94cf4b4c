"""Pausing a worker's process, as a virtual machine is paused: in the middle of whatever it does, with one exception.

On embedded backends a transaction lives in the process that began it, and holds the file that all share. A worker that
stands still in the middle of one is no fault of one worker: nobody can do anything until it goes on. So it is let go
on and stopped again, until it stands where others can write.
"""

from __future__ import annotations

from collections.abc import Callable

import anyio
import psutil

from jobkit.errors import Unavailable
from jobkit.lab.drill.environment import DrillFailed, WorkerProcess
from jobkit.model.clock import Clock
from jobkit.ports.coordinator import Coordinator, LeaseRef

# Others' transactions take a few milliseconds; this is long enough for many of them.
_WRITE_SECONDS = 0.5
_AGAIN_SECONDS = 0.02
_TRIES = 100
_LOOK_SECONDS = 0.001
# A lease that nobody has: to release it is a write that changes nothing.
_NOBODYS = LeaseRef("drill/pause", 0, "")


async def pause(worker: WorkerProcess, shared: Coordinator | None, clock: Clock) -> None:
    """Stop a worker's process; with a coordinator whose file it shares, where that can still be written to.

    Raises `DrillFailed` where it is in the middle of a transaction each time.
    """
    await stand(worker, shared, clock, stop=worker.stop)


async def stand(worker: WorkerProcess, shared: Coordinator | None, clock: Clock, *, stop: Callable[[], None]) -> None:
    """Do as `pause`, where `stop` has the process stop, or takes note that it does so by itself."""
    for _ in range(_TRIES):
        stop()
        await _stopped(worker, clock)
        if shared is None or await _can_write(shared):
            return
        worker.resume()
        await clock.sleep(_AGAIN_SECONDS)
    raise DrillFailed(f"worker {worker.name} could not be paused outside of a transaction, {_TRIES} times")


async def _stopped(worker: WorkerProcess, clock: Clock) -> None:
    """Wait until the process stands still: the signal alone does not say so yet."""
    process = psutil.Process(worker.process.pid)
    while process.status() not in (psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE):
        await clock.sleep(_LOOK_SECONDS)


async def _can_write(shared: Coordinator) -> bool:
    with anyio.move_on_after(_WRITE_SECONDS):
        try:
            await shared.release(_NOBODYS)
        except Unavailable:
            return False
        return True
    return False
