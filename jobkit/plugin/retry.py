"""When a failed attempt is tried again, and how long that waits."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import timedelta
from inspect import isclass

from jobkit.errors import Reject, Retry
from jobkit.model.safe_text import shown


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
        if type(self.max_attempts) is not int or self.max_attempts < 1:
            raise ValueError(f"max_attempts must be a whole number of at least 1, not {shown(self.max_attempts)}")
        for name in ("initial", "maximum"):
            if not isinstance(getattr(self, name), timedelta):
                given = getattr(self, name)
                raise ValueError(f"{name} must be a timedelta, such as timedelta(seconds=5), not {shown(given)}")
        for name in ("factor", "jitter"):
            if isinstance(getattr(self, name), bool) or not isinstance(getattr(self, name), int | float):
                raise ValueError(f"{name} must be a number, not {shown(getattr(self, name))}")
        if not isinstance(self.on, tuple) or not all(isclass(one) and issubclass(one, Exception) for one in self.on):
            raise ValueError(f"on must be a tuple of exception classes, such as (OSError,), not {shown(self.on)}")
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
