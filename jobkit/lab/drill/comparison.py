"""A drill's figures beside the incident's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jobkit.lab.drill.fence_trial import LateWrite
from jobkit.lab.drill.run import DrillReport
from jobkit.lab.drill.ticks import TickCount

# The incident's own figures: elections in a minute, share of claims that failed, seconds of lag.
_ELECTIONS = 47
_FAILED = 0.34
_LAG_SECONDS = 45.0


@dataclass(frozen=True, slots=True)
class Line:
    """One figure: what it was in the incident, and in the drill; `good` where that is better."""

    name: str
    then: str
    now: str
    good: bool


def comparison(report: DrillReport) -> list[Line]:
    """Return the figures that both have, and what the fence did, which the incident had none of."""
    judged = report.judgement
    claims = report.samples[-1].claims if report.samples else 0
    failed = report.failed_claims / claims if claims else 0.0
    elections, lag = report.elections_per_minute, report.highest_lag
    healed = "never" if report.healed_after is None else f"{report.healed_after:.0f} s after the heal"
    lines = [
        Line("elections of one leader, in its worst minute", "47", str(elections), elections < _ELECTIONS),
        Line("lock acquisitions that failed", "34%", f"{failed:.1%} ({report.failed_claims})", failed < _FAILED),
        Line("highest lag from event to effect", "45 s", f"{lag:.1f} s", lag < _LAG_SECONDS),
        Line("lag normal again", "1 h 45 min, by hand", healed, report.healed_after is not None),
        Line("events applied twice", "12%", str(judged.duplicate_events), judged.duplicate_events == 0),
        Line("events applied out of order", "1,234", str(judged.events_out_of_order), judged.events_out_of_order == 0),
        Line("events lost", "not known", str(judged.events_lost), judged.events_lost == 0),
        Line("sessions corrupted", "23", str(judged.corrupted_sessions), judged.corrupted_sessions == 0),
        Line("videos transcoded twice", "847", str(judged.transcoded_twice), judged.transcoded_twice == 0),
        Line("ticks of a schedule, each fired once", "no schedules", _ticks(judged.ticks), judged.ticks.once),
    ]
    if report.plan.lose is None:
        lines.append(
            Line("writes under a lost lease", "all taken", _late_writes(report.late_writes), report.fence_tried)
        )
    return lines


def is_better(report: DrillReport) -> bool:
    """Return whether each figure is better than the incident's, and the fence was tried and held."""
    return all(line.good for line in comparison(report))


def verdict(report: DrillReport) -> str:
    """Return in a few words what the drill has shown."""
    if not report.holds:
        return "an invariant broke"
    worse = [line.name for line in comparison(report) if not line.good]
    if not worse:
        return "every invariant held, every figure is better than the incident's"
    return f"every invariant held, but look at: {', '.join(worse)}"


def _ticks(counted: TickCount) -> str:
    if counted.once:
        return f"{counted.ticks} of {counted.ticks}"
    return f"of {counted.ticks}, {len(counted.twice)} again and {len(counted.never)} never"


def _late_writes(late: Sequence[LateWrite]) -> str:
    tried = [one for one in late if one.tried]
    refused = sum(one.refused for one in tried)
    missed = "".join(f"; {one.lateness}: {one.told}" for one in late if not one.tried)
    return f"{len(tried)} of {len(late)} tried, {refused} refused{missed}"
