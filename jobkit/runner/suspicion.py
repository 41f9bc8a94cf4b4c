"""What counts against a job before it begins: starts whose end nobody reported. Such a job may take its worker down.

Starts that a worker lived to tell of count for nothing, however they ended; failed attempts are the retry policy's.
"""

from __future__ import annotations

from dataclasses import dataclass

from jobkit.ports.store import Opened

# Before a job is buried as poison, so many starts that nobody reported the end of were its own alone.
_ALONE_STARTS = 3


@dataclass(frozen=True, slots=True)
class Suspicion:
    """After `max_opens` silent starts a job is poison; the last few of them it makes alone."""

    max_opens: int

    def poison(self, opened: Opened) -> str | None:
        """Return why the job is to be buried, or None where it may be started once more."""
        if opened.silent < self.max_opens:
            return None
        return f"poison: {opened.silent} of its starts ended with their workers"

    def suspects(self, opened: Opened) -> bool:
        """Return whether the job has to run alone, so that a crash counts against no neighbour."""
        return opened.silent >= max(1, self.max_opens - _ALONE_STARTS)
