"""What a benchmark is asked, and what it answers. Rates are per second."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

# What is to be reached, on whatever machine: ratios to the ceilings, milliseconds, and a share.
PUBLISH_RATIO = 0.5
DRAIN_RATIO = {"redis": 0.7, "postgresql": 0.35}
START_P99_MS = 25.0
MEMORY_GROWTH = 0.05
# One job for each round trip, less what the job itself takes.
HOT_KEY_RATIO = 0.9


@dataclass(frozen=True, slots=True)
class BenchPlan:
    """How much to do: `rounds` times `jobs` over `keys` keys, then `rate` jobs per second for `seconds`.

    In each round the jobs are drained once by each number of worker processes in `workers`.
    """

    jobs: int = 20_000
    keys: int = 10_000
    rate: float = 100.0
    seconds: float = 10.0
    workers: tuple[int, ...] = (1,)
    rounds: int = 1
    leases: int = 1_000
    # Milliseconds of a round trip for the worker of a hot key; 0: it is not measured.
    latency: float = 0.0


@dataclass(frozen=True, slots=True)
class Ceilings:
    """What one process can do without any safety: publish, consume, and consume with two Redis scripts for each.

    `scripted` is None where there is no Redis to run scripts.
    """

    publish: float
    consume: float
    scripted: float | None


@dataclass(frozen=True, slots=True)
class Account:
    """What worker processes have used: processor time, and round trips where the backend counts them."""

    cpu_seconds: float
    coordinator_round_trips: int | None
    store_round_trips: int | None

    @classmethod
    def total(cls, accounts: Iterable[Account]) -> Account:
        """Return the sum."""
        listed = list(accounts)
        return cls(
            sum(account.cpu_seconds for account in listed),
            _sum(account.coordinator_round_trips for account in listed),
            _sum(account.store_round_trips for account in listed),
        )


@dataclass(frozen=True, slots=True)
class MemoryPoint:
    """The workers' resident memory, in bytes, once so many jobs had committed."""

    committed: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Drain:
    """One drain of `jobs` by `workers` processes; `rate` is that of the `seconds` in which all of them were there."""

    workers: int
    jobs: int
    rate: float
    seconds: float
    account: Account
    memory: Sequence[MemoryPoint]

    @property
    def memory_growth(self) -> float:
        """By what share memory grew from a quarter of the drain to its end."""
        early = next(point for point in self.memory if point.committed >= self.jobs / 4)
        return self.memory[-1].bytes / early.bytes - 1


@dataclass(frozen=True, slots=True)
class Round:
    """What was measured one right after the other, so that it can be compared."""

    publish_rate: float
    drains: Sequence[Drain]
    ceilings: Ceilings | None


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds, of `count` jobs."""

    count: int
    p50: float
    p90: float
    p99: float
    max: float

    @classmethod
    def of(cls, milliseconds: Sequence[float]) -> Latency:
        """Return the quantiles of at least two values."""
        cuts = statistics.quantiles(milliseconds, n=100, method="inclusive")
        return cls(len(milliseconds), cuts[49], cuts[89], cuts[98], max(milliseconds))


@dataclass(frozen=True, slots=True)
class Renewal:
    """One renewal of so many leases: its round trips, where they are counted, and milliseconds."""

    leases: int
    round_trips: int | None
    milliseconds: float


@dataclass(frozen=True, slots=True)
class HotKey:
    """Ordered jobs of one key, drained over a way of so many `milliseconds`; `seconds` are those of all the `jobs`."""

    jobs: int
    milliseconds: float
    seconds: float

    @property
    def rate(self) -> float:
        """Jobs per second."""
        return self.jobs / self.seconds

    @property
    def for_each_round_trip(self) -> float:
        """Jobs in the time that a round trip takes."""
        return self.rate * self.milliseconds / 1000


@dataclass(frozen=True, slots=True)
class BenchReport:
    """What was measured. Latencies are from the call of `submit` to the processor's start, and to the commit."""

    broker: str
    coordinator: str
    store: str
    rounds: Sequence[Round]
    start: Latency
    commit: Latency
    renewal: Renewal
    hot_key: HotKey | None = None

    @property
    def publish_rate(self) -> float:
        """Jobs accepted and confirmed per second, the median of the rounds."""
        return statistics.median(round.publish_rate for round in self.rounds)

    def drains(self, workers: int) -> list[Drain]:
        """Return the drains by so many workers."""
        return [drain for round in self.rounds for drain in round.drains if drain.workers == workers]

    def drain_rate(self, workers: int) -> float:
        """Jobs drained per second by so many workers, the median of the rounds."""
        return statistics.median(drain.rate for drain in self.drains(workers))

    def ratio(self, ceiling: str, workers: int | None = None) -> float | None:
        """Return the median of each round's own ratio to a ceiling; of publishing where no workers are given."""
        ratios: list[float] = []
        for round in self.rounds:
            base: float | None = None if round.ceilings is None else getattr(round.ceilings, ceiling)
            if base is None:
                return None
            reached = round.publish_rate
            if workers is not None:
                reached = next(drain.rate for drain in round.drains if drain.workers == workers)
            ratios.append(reached / base)
        return statistics.median(ratios)


def _sum(numbers: Iterable[int | None]) -> int | None:
    counted = list(numbers)
    return None if None in counted else sum(number for number in counted if number is not None)
