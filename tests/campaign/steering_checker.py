"""What is wrong with what people steered: read from what was committed, against what they were told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from jobkit.ops.verify import Violation
from jobkit.ports.inspection import Inspection, JobState
from tests.campaign.names import ERRAND
from tests.campaign.plugin import AT_ONCE, STARTS, Done
from tests.campaign.schedule import TICKING
from tests.campaign.steering import Burst, Span, Told

# A bound on all errands of a key, and more.
_MOST = 100_000
# Two clocks' readings of one moment.
_ROUNDING = 0.001
# An outage of the coordinator, between two moments of the machine's clock; it may have forgotten who has what.
Loss = tuple[float, float]


@dataclass(frozen=True, slots=True)
class _Effect:
    job: str
    key: str
    done: Done


async def steering_findings(
    inspection: Inspection, told: Told, losses: Sequence[Loss], lease_ttl: float
) -> list[Violation]:
    """Return all that is wrong. Raises `Unavailable`."""
    keys = [TICKING, *(burst.key for burst in told.bursts)]
    effects = [
        _Effect(entry.job_id, key, Done.model_validate_json(entry.data))
        for key in keys
        for entry in await inspection.log(ERRAND, key, limit=_MOST)
    ]
    states: dict[str, JobState] = {}
    for at in range(0, len(told.errands), 500):
        states |= await inspection.states(told.errands[at : at + 500])
    return [
        *_ends(effects, states, told),
        *_not_before_due(effects, told.not_before),
        *_ticks(effects, told.spans),
        *_at_once(effects, [(begin, end + lease_ttl) for begin, end in losses]),
        *(found for burst in told.bursts for found in _starts(effects, burst, losses)),
    ]


def _ends(effects: Sequence[_Effect], states: Mapping[str, JobState], told: Told) -> Iterator[Violation]:
    """What is cancelled or expired took no effect, all else took one."""
    times = Counter(effect.job for effect in effects)
    for id in told.errands:
        state = states.get(id)
        if id in told.cancelled and state is not JobState.CANCELLED:
            yield Violation("cancelled", id, f"was cancelled, and is {state}")
        if state not in (JobState.CANCELLED, JobState.EXPIRED, JobState.COMMITTED):
            yield Violation("nothing-lost", id, f"is {state}")
        if times[id] != (state is JobState.COMMITTED):
            yield Violation("single-effect", id, f"is {state}, and took effect {times[id]} times")


def _not_before_due(effects: Sequence[_Effect], not_before: Mapping[str, float]) -> Iterator[Violation]:
    for effect in effects:
        early = not_before.get(effect.job, 0.0) - effect.done.began_wall
        if early > _ROUNDING:
            yield Violation("later", effect.job, f"began {early:.3f} s before it was due")


def _ticks(effects: Sequence[_Effect], spans: Sequence[Span]) -> Iterator[Violation]:
    """Each tick fired once, and none while the schedule was paused, whatever the jobs are called."""
    fired = Counter(effect.job for effect in effects if effect.key == TICKING)
    allowed = {id for span in spans for id in span.ticks(span.allowed)}
    required = {id for span in spans for id in span.ticks(span.required)}
    for id, times in fired.items():
        if id not in allowed:
            yield Violation("ticks", id, "fired, and was not to")
        elif times > 1:
            yield Violation("ticks", id, f"fired {times} times")
    for id in sorted(required - fired.keys()):
        yield Violation("ticks", id, "never fired")


def _at_once(effects: Sequence[_Effect], losses: Sequence[Loss]) -> Iterator[Violation]:
    """No more ran at once than may; as many again where the coordinator had lost what it knew, for a lease's time."""
    for effect in effects:
        at = effect.done.began
        running = [other.job for other in effects if other.done.began <= at < other.done.ended]
        may = AT_ONCE.count * (1 + sum(begin <= at <= end for begin, end in losses))
        if len(running) > may:
            yield Violation("limits", effect.job, f"was begun while {len(running)} ran, {may} may: {running}")


def _starts(effects: Sequence[_Effect], burst: Burst, losses: Sequence[Loss]) -> Iterator[Violation]:
    """Up to no moment more had begun than was granted: a start may follow its grant late, and never comes before."""
    per = STARTS.per.total_seconds()
    begun = sorted(effect.done.began for effect in effects if effect.key == burst.key)
    for number, at in enumerate(begun, start=1):
        lost = sum(begin <= at and end >= burst.since - per for begin, end in losses)
        may = STARTS.count * (1 + int((at - burst.since) / per) + lost)
        if number > may:
            yield Violation("limits", burst.key, f"{number} began within {at - burst.since:.2f} s, {may} may")
