"""What waits for limits at this worker, told to the coordinator for people to look at, while anything does."""

from __future__ import annotations

from jobkit.errors import Unavailable
from jobkit.model.clock import Clock
from jobkit.ports.coordinator import Coordinator
from jobkit.runner.limit_lines import LimitLines
from jobkit.telemetry import Telemetry

# What was told holds for so many times as long as the next is due in.
_HOLDS_TIMES = 3.0


async def report_waiting_forever(
    coordinator: Coordinator, lines: LimitLines, owner: str, *, every: float, clock: Clock, telemetry: Telemetry
) -> None:
    """Tell it every so many seconds, until cancelled; nothing where nothing waits and nothing did."""
    told = False
    while True:
        await clock.sleep(every)
        waiting = lines.waiting(owner)
        if not waiting and not told:
            continue
        try:
            await coordinator.note_waiting(owner, waiting, ttl=_HOLDS_TIMES * every)
            told = bool(waiting)
        except Unavailable as error:
            telemetry.connection_lost(error.plane, "telling what waits for limits", error)
