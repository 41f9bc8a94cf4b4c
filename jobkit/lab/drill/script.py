"""What befalls the regions, and when: the incident's own order of events, in minutes instead of hours."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from jobkit.lab.drill.environment import REPUBLISH_SECONDS
from jobkit.lab.drill.loss import Loss


class Phase(StrEnum):
    """What may be the matter while a drill goes on."""

    NORMAL = "normal"
    SLOW = "slow"
    FLAPPING = "flapping"
    PARTITIONED = "partitioned"
    STALLING = "stalling"
    PAUSED = "paused"
    LOST = "lost"
    HEALED = "healed"


@dataclass(frozen=True, slots=True)
class Step:
    """One phase: how many seconds it takes, and what is told of it, which is what is done."""

    phase: Phase
    seconds: float
    told: str


@dataclass(frozen=True, slots=True)
class Script:
    """The phases in their order; the last one is the heal."""

    steps: tuple[Step, ...]

    def seconds_of(self, *phases: Phase) -> float:
        """Return how long these phases take together."""
        return sum(step.seconds for step in self.steps if step.phase in phases)

    def told(self, phase: Phase) -> str:
        """Return what is told of a phase."""
        return next(step.told for step in self.steps if step.phase is phase)


def script_for(lease_ttl: float, *, embedded: bool = False, scale: float = 1.0, lose: Loss | None = None) -> Script:
    """Return the script for leases of so many seconds; `scale` lengthens what does not depend on them.

    With `lose` that is lost for good, and nothing else happens.

    Embedded backends have no network to make trouble on: there, workers are paused.
    """
    normal = Step(Phase.NORMAL, 15 * scale, "both regions work")
    # Longer than any lease, or nothing would happen in it.
    outage = 2 * lease_ttl + 60 * scale
    # Twice what the recovery may take, to see that it lasts.
    quiet = 20 * scale
    if lose is not None:
        # It takes two looks to find what a lost broker held; what a lost worker held comes once its leases are over.
        recovery = 2 * REPUBLISH_SECONDS + lease_ttl
        return Script(
            (
                normal,
                Step(Phase.LOST, 10 * scale, lose.told(embedded=embedded)),
                Step(Phase.HEALED, recovery + quiet, "what took its place is there; nobody lends a hand"),
            )
        )
    if embedded:
        return Script(
            (
                normal,
                Step(Phase.STALLING, 12 * scale, "one of the far region's workers is paused for a second, repeatedly"),
                Step(
                    Phase.PAUSED,
                    outage,
                    "one of the far region's workers is paused just before it writes, for longer than its leases last",
                ),
                Step(Phase.HEALED, quiet, "the paused worker goes on where it was"),
            )
        )
    return Script(
        (
            normal,
            Step(
                Phase.SLOW,
                max(20 * scale, 1.5 * lease_ttl),
                "500 ms are added to every round trip of the far region",
            ),
            Step(Phase.FLAPPING, 12 * scale, "the far region's links are cut and come back, every few seconds"),
            Step(
                Phase.PARTITIONED,
                outage,
                "the far region cannot reach the coordinator; one of its workers is paused just before it writes, a "
                "commit of the other is held on the wire until somebody else has taken over",
            ),
            Step(Phase.HEALED, quiet, "everything is whole again; the paused worker goes on where it was"),
        )
    )
