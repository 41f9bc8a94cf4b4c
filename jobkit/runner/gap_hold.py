"""How long jobs are held for a missing sequence, which may still come, before they are parked in the store."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class GapBounds:
    """How long, in seconds, and how many jobs of a key wait in memory for a missing sequence."""

    hold: float
    limit: int

    def left(self, held: float, waiting: int) -> float:
        """Return for how many seconds more a job may wait that was `held` so long; 0 or less: it is to be parked."""
        return self.hold - held if waiting <= self.limit else 0.0
