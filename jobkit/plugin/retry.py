"""When a failed attempt is tried again, and how long that waits."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import timedelta

from jobkit.errors import Reject, Retry


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Exponential backoff with jitter.

    The n-th retry waits `initial * factor**(n-1)`, at most `maximum`, less a random share of up to `jitter`
    of it (0 to 1), so that jobs that failed together do not come back together.
    `on` are the errors worth another attempt, besides `Retry`, which always is; any other goes to the dead letters.
    `Reject` is never tried again.
    """

    max_attempts: int = 5
    initial: timedelta = timedelta(seconds=1)
    factor: float = 2.0
    maximum: timedelta = timedelta(minutes=5)
    jitter: float = 0.25
    on: tuple[type[Exception], ...] = (Exception,)

    def __post_init__(self) -> None:
        if self.max_attempts < 1:
            raise ValueError("max_attempts must be at least 1")
        if self.initial.total_seconds() < 0 or self.maximum < self.initial:
            raise ValueError("initial must not be negative and maximum not below initial")
        if not 1 <= self.factor <= 1_000:
            raise ValueError("factor must lie between 1, or later retries would come faster, and 1000")
        if not 0 <= self.jitter <= 1:
            raise ValueError("jitter must lie between 0 and 1")

    def delay(self, error: Exception, attempt: int, rng: random.Random) -> float | None:
        """Return the seconds to wait after failed attempt number `attempt` (from 1), or None to give up."""
        if isinstance(error, Reject) or attempt >= self.max_attempts:
            return None
        if isinstance(error, Retry):
            if error.after is not None:
                return max(0.0, error.after.total_seconds())
        elif not isinstance(error, self.on):
            return None
        # The exponent is capped before it overflows a float; the result is capped anyway.
        steep = self.initial.total_seconds() * self.factor ** min(attempt - 1, 64)
        return min(steep, self.maximum.total_seconds()) * (1 - self.jitter * rng.random())
