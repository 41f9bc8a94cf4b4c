"""How fast messages may go one way: a window that doubles while all is well, and a growing pause after trouble.

It decides and waits for nothing; the clock is the caller's.
"""

from __future__ import annotations

import random

# A quorum queue that does not confirm makes its server stop reading from the connection at 32 messages under way.
_FIRST_WINDOW = 32
_MOST_WINDOW = 500
# After trouble nothing is tried for so long, in seconds, doubling each time up to a bound.
_FIRST_PAUSE_SECONDS = 0.5
MOST_PAUSE_SECONDS = 15.0


class Pace:
    """The pace of one partition, or of a broker as a whole, whose pauses grow to `most` seconds."""

    def __init__(self, rng: random.Random, *, most: float = MOST_PAUSE_SECONDS) -> None:
        self.failures = 0
        self.under_way = 0
        self._window = _FIRST_WINDOW
        self._retry_at = float("-inf")
        self._rng = rng
        self._most = most

    def room(self, now: float) -> int:
        """Return how many messages may be sent now; after trouble one, as a probe, once the pause is over."""
        return 0 if now < self._retry_at else max(0, self._window - self.under_way)

    def waits(self, now: float) -> bool:
        """Return whether nothing may be sent because of trouble that is not over, or is being probed."""
        return self.failures > 0 and self.room(now) == 0

    def went_well(self) -> None:
        """Note that the broker took what it was given."""
        self.failures = 0
        self._window = min(2 * self._window, _MOST_WINDOW)

    def went_wrong(self, now: float) -> None:
        """Note trouble at `now`."""
        pause = min(_FIRST_PAUSE_SECONDS * 2.0 ** min(self.failures, 30), self._most)
        self.failures += 1
        self._window = 1
        # With jitter, so that those who met the same trouble do not all come back in one moment.
        self._retry_at = now + pause * (0.75 + 0.25 * self._rng.random())

    def begin_anew(self) -> None:
        """Forget the trouble: what caused it is gone."""
        self.failures = 0
        self._window = 1
        self._retry_at = float("-inf")
