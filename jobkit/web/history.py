"""The last hour in numbers: samples of the store's counts, kept in this process while it looks."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TypeVar

from jobkit.model.clock import Clock
from jobkit.ports.inspection import JobState, StoreCounts

L = TypeVar("L", float, float | None)

EVERY_SECONDS = 10.0
_KEPT = 360


@dataclass(frozen=True, slots=True)
class Sample:
    """What was counted at a moment of the process's clock.

    `lag` is for how many seconds the oldest job has waited, where that was asked; `elections` how often partitions were
    seen to have changed their leader until then.
    """

    at: float
    counts: StoreCounts
    lag: float | None = None
    elections: int = 0

    @property
    def waiting(self) -> int:
        """How many jobs had yet to begin."""
        jobs = self.counts.jobs
        return jobs[JobState.QUEUED] + jobs[JobState.PARKED]


class History:
    """Keeps a sample for every ten seconds in which somebody looked."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._samples: deque[Sample] = deque(maxlen=_KEPT)
        self._leaders: Collection[tuple[str, int]] | None = None
        self._elections = 0

    def note(
        self, counts: StoreCounts, *, lag: float | None = None, leaders: Collection[tuple[str, int]] | None = None
    ) -> None:
        """Keep these counts, if it is time to; `leaders` are the leases of partitions, by resource and token."""
        if leaders is not None:
            if self._leaders is not None:
                self._elections += len(set(leaders) - set(self._leaders))
            self._leaders = leaders
        now = self._clock.now()
        # A little early is on time: whoever looks in that rhythm is to miss none.
        if not self._samples or now - self._samples[-1].at >= 0.9 * EVERY_SECONDS:
            self._samples.append(Sample(now, counts, lag, self._elections))

    def levels(self, of: Callable[[Sample], L]) -> Sequence[L]:
        """Return a number of each sample, oldest first."""
        return [of(sample) for sample in self._samples]

    def rates(self, of: Callable[[Sample], float]) -> Sequence[float]:
        """Return by how much a number grew between samples, for each second; what was forgotten is no step back."""
        pairs = zip(self._samples, list(self._samples)[1:], strict=False)
        return [max(0.0, of(after) - of(before)) / (after.at - before.at) for before, after in pairs]

    @property
    def span(self) -> float:
        """For how many seconds there are samples."""
        return self._samples[-1].at - self._samples[0].at if self._samples else 0.0
