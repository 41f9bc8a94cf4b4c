"""Schedules that this worker cannot read are told of once in a while, however often and however many are met."""

from __future__ import annotations

from jobkit.errors import ScheduleUnreadable
from jobkit.model.clock import Clock
from jobkit.telemetry import Telemetry

_EVERY_SECONDS = 3_600.0
# So many are named in that time; `jobkit doctor` names all.
_NAMED = 20


class UnreadableSchedules:
    """The schedules that were found unreadable lately."""

    def __init__(self, clock: Clock, telemetry: Telemetry) -> None:
        self._clock = clock
        self._telemetry = telemetry
        self._told: dict[str, float] = {}

    def met(self, name: str, error: ScheduleUnreadable) -> None:
        """Tell of one that was met, unless it, or many others, were told of lately."""
        now = self._clock.now()
        self._told = {known: at for known, at in self._told.items() if now - at < _EVERY_SECONDS}
        if name in self._told or len(self._told) >= _NAMED:
            return
        self._told[name] = now
        self._telemetry.log.error("schedule cannot be read, it does not fire here", schedule=name, error=str(error))
