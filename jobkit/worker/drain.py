"""How a worker leaves: what still runs at the end of a drain, and its place among the members."""

from __future__ import annotations

from collections.abc import Sequence

import anyio

from jobkit.errors import Unavailable
from jobkit.model.clock import Clock
from jobkit.ports.coordinator import Coordinator
from jobkit.runner.unknown_jobs import HeldJobs
from jobkit.telemetry import Telemetry
from jobkit.worker.latency import NEAR_SECONDS
from jobkit.worker.leadership import Leaderships

# How long running jobs may delay a hand-over before they are shelved and go on under their own leases.
_HAND_OVER_GRACE_SECONDS = 0.5
# How long saying good-bye to the coordinator may take.
_LEAVE_SECONDS = 2.0
# How often it is looked whether a drain is over.
_DRAINED_SECONDS = 0.05


def hand_over_grace(latency: float) -> float:
    """Return how long, in seconds, running jobs may delay the hand-over of a partition."""
    # Far away a job takes several round trips to end, and those that come after it wait for all of them.
    return _HAND_OVER_GRACE_SECONDS if latency <= NEAR_SECONDS else 0.0


async def leave(coordinator: Coordinator, owner: str, telemetry: Telemetry) -> None:
    """Leave the membership, so that the others count without this worker; in bounded time, cancelled or not."""
    with anyio.move_on_after(_LEAVE_SECONDS, shield=True):
        try:
            await coordinator.leave(owner)
        except Unavailable as error:
            telemetry.connection_lost(error.plane, "leaving the membership", error)


async def end_after_drain(
    leaderships: Leaderships,
    held: Sequence[HeldJobs],
    running: anyio.CancelScope,
    seconds: float,
    *,
    clock: Clock,
    telemetry: Telemetry,
) -> None:
    """Cancel what still runs once the time to drain is over, `seconds` from now."""
    deadline = clock.now() + seconds
    while (leaderships.led or any(one.busy for one in held)) and clock.now() < deadline:
        await clock.sleep(_DRAINED_SECONDS)
    for led in leaderships.led:
        if led.busy:
            telemetry.log.warning("drain timed out, jobs cancelled", partition=str(led.partition))
    running.cancel()
