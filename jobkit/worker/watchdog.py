"""A thread that notices when the event loop stands still, which no task of that loop could."""

from __future__ import annotations

import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from jobkit.model.clock import Clock
from jobkit.telemetry import Telemetry


class Watchdog:
    """Expects `beat` to be called at least every `limit` seconds, and reports each time that it was not."""

    def __init__(self, clock: Clock, limit: float, telemetry: Telemetry) -> None:
        self._clock = clock
        self._limit = limit
        self._telemetry = telemetry
        self._last = clock.now()
        self._loop_thread = threading.get_ident()
        self._stopped = threading.Event()

    @property
    def interval(self) -> float:
        """Seconds between two beats."""
        return self._limit / 4

    def beat(self) -> None:
        """Record that the event loop turns."""
        self._last = self._clock.now()

    async def beat_forever(self) -> None:
        """Beat as long as the event loop turns, until cancelled."""
        while True:
            self.beat()
            await self._clock.sleep(self.interval)

    @property
    def turning(self) -> bool:
        """Return whether the event loop has turned lately."""
        return self._clock.now() - self._last < self._limit

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch from a thread during the block."""
        thread = threading.Thread(target=self._watch, name="jobkit-watchdog", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._stopped.set()
            thread.join()

    def _watch(self) -> None:
        reported = 0.0
        while not self._stopped.wait(self.interval):
            last = self._last
            stalled = self._clock.now() - last
            if stalled >= self._limit and last != reported:
                reported = last
                frame = sys._current_frames().get(self._loop_thread)
                stack = "".join(traceback.format_stack(frame)[-6:]) if frame is not None else ""
                self._telemetry.loop_blocked(stalled, stack)
