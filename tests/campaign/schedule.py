"""What goes wrong in a campaign, and when: a list that is drawn from the seed, and nothing else.

It does not promise that two runs of one seed end in the same state: the processes and servers are real, and what they
do in between is theirs. The faults, their order, their targets and their times are the same.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

Plane = Literal["broker", "coordinator", "store"]
PLANES: tuple[Plane, ...] = ("broker", "coordinator", "store")

# The schedule that ticks meanwhile.
TICKING, TICK_SECONDS = "every-second", 1

# Each way takes half of what a round trip is to take more.
SLOW_ROUND_TRIP_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong, `at` so many seconds after its part of the campaign began.

    `worker` is the place of the worker that it happens to, None where it happens to a server or to all. `seconds` is
    how long it lasts, 0 for what is over at once or as soon as the server is back.
    """

    kind: str
    worker: int | None = None
    plane: Plane | None = None
    seconds: float = 0.0
    at: float = 0.0

    @property
    def forgets(self) -> bool:
        """Whether the coordinator may lose what it knows: all of it, or its last second."""
        return self.worker is None and (self.plane == "coordinator" or "coordinator" in self.kind)

    def __str__(self) -> str:
        parts: list[str] = [self.kind]
        parts += [f"worker {self.worker}"] * (self.worker is not None)
        parts += [self.plane] if self.plane else []
        parts += [f"{self.seconds:.1f} s"] * (self.seconds > 0)
        return ", ".join(parts)


@dataclass(frozen=True, slots=True)
class Scale:
    """How large a campaign is. All durations are in seconds.

    `alone`: first each fault by itself, one after another, each followed by `calm`. Then `together` faults, one about
    `every` so many seconds, however long the ones before still last. `settings` are those of the workers, without their
    prefix. `bound` is the time in which everything is done once nothing goes wrong any more. `errands` are submitted at
    once, four times over; none: nobody steers anything. `trees` are groups of pieces, and those within them;
    `films` are small ones that are transcoded in chunks.
    """

    jobs: int
    keys: int
    lease_ttl: float
    cut: float
    slow: float
    alone: bool
    calm: float
    together: int
    every: float
    bound: float
    settings: tuple[tuple[str, str], ...] = ()
    workers: int = 4
    long_jobs: float = 0.005
    errands: int = 100
    trees: int = 60
    films: int = 12


# As it is asked for: 20,000 jobs over 500 keys, cuts of 30 s, and the lease terms that are the defaults.
LONG = Scale(
    jobs=20_000,
    keys=500,
    lease_ttl=15.0,
    cut=30.0,
    slow=30.0,
    alone=True,
    calm=5.0,
    together=40,
    every=4.0,
    bound=240.0,
    settings=(("CONCURRENCY", "32"),),
)
# What a test has time for: two thirds of the faults, all together, under leases that are as much shorter.
SLICE = Scale(
    jobs=500,
    keys=50,
    lease_ttl=2.0,
    cut=4.0,
    slow=3.0,
    alone=False,
    calm=0.0,
    together=13,
    every=0.7,
    bound=90.0,
    settings=(
        ("CONCURRENCY", "32"),
        ("LEASE_TTL", "2"),
        ("LEASE_GUARD", "0.4"),
        ("RELAY_GRACE", "1"),
        # So that what lasts longer than a lease goes through the in-flight table, too.
        ("DELIVERY_HOLD", "1.5"),
        ("REPUBLISH_SECONDS", "2"),
    ),
    long_jobs=0.02,
    errands=15,
    trees=10,
    films=3,
)


@dataclass(frozen=True, slots=True)
class Schedule:
    """A campaign's faults: those that come one after another, then those that come at their times."""

    seed: int
    scale: Scale
    alone: tuple[Fault, ...]
    together: tuple[Fault, ...]

    @property
    def seconds(self) -> float:
        """About how long all of it takes; a server needs a few seconds to come back."""
        alone = sum(fault.seconds + self.scale.calm + 3.0 for fault in self.alone)
        return alone + max((fault.at + fault.seconds for fault in self.together), default=0.0)


def draw(seed: int, scale: Scale) -> Schedule:
    """Draw the faults of a seed."""
    rng = random.Random(f"faults {seed}")
    alone = tuple(_deck(rng, scale)) if scale.alone else ()
    together: list[Fault] = []
    at = 0.0
    while len(together) < scale.together:
        # Dealt from a shuffled deck, so that each fault comes up as soon as there are enough of them.
        deck = list(_deck(rng, scale))
        rng.shuffle(deck)
        for fault in deck[: scale.together - len(together)]:
            at += scale.every * rng.uniform(0.4, 1.6)
            together.append(replace(fault, at=round(at, 3)))
    return Schedule(seed, scale, alone, tuple(together))


def _deck(rng: random.Random, scale: Scale) -> Iterator[Fault]:
    """Yield each fault that there is, on whom it is to fall drawn anew."""

    def worker() -> int:
        return rng.randrange(scale.workers)

    def plane() -> Plane:
        return rng.choice(PLANES)

    yield Fault("kill the worker", worker())
    yield Fault("kill the worker", worker())
    # Past the time to live: to everybody else it is dead.
    yield Fault("stop the worker for a while", worker(), seconds=round(scale.lease_ttl * rng.uniform(1.2, 2), 3))
    yield Fault("kill who fires, at a tick")
    yield Fault("stop who fires, at a tick", seconds=round(scale.lease_ttl * rng.uniform(1.2, 2), 3))
    for server in PLANES:
        yield Fault("restart the server", plane=server)
        yield Fault("kill the server", plane=server)
    yield Fault("pause the work", seconds=scale.cut)
    yield Fault("change the number of partitions", seconds=scale.cut)
    yield Fault("forget everything", plane="coordinator")
    yield Fault("restart the server without its data", plane="coordinator")
    yield Fault("restart the server without its data", plane="broker")
    yield Fault("restart broker and coordinator without their data")
    yield Fault("slow every round trip", seconds=scale.slow)
    for server in PLANES:
        yield Fault("cut the way", worker(), server, scale.cut)
    yield Fault("cut the way there", worker(), plane(), scale.cut / 2)
    yield Fault("cut the way back", worker(), plane(), scale.cut / 2)
    yield Fault("reset the connections", worker(), plane())
    yield Fault("refuse connections", worker(), plane(), scale.cut / 2)
