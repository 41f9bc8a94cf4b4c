"""A drill's figures beside the incident's own."""

from __future__ import annotations

from dataclasses import dataclass

from jobkit.lab.drill.run import DrillReport


@dataclass(frozen=True, slots=True)
class Line:
    """One figure: what it was in the incident, and in the drill; `good` where there is only one right value."""

    name: str
    then: str
    now: str
    good: bool | None = None


def comparison(report: DrillReport) -> list[Line]:
    """Return the figures that both have."""
    judged = report.judgement
    claims = report.samples[-1].claims if report.samples else 0
    share = f"{report.failed_claims / claims:.1%}" if claims else "-"
    healed = "never" if report.healed_after is None else f"{report.healed_after:.0f} s after the heal"
    return [
        Line("elections of one leader, in its worst minute", "47", str(report.elections_per_minute)),
        Line("lock acquisitions that failed", "34%", f"{share} ({report.failed_claims})"),
        Line("highest lag from event to effect", "45 s", f"{report.highest_lag:.1f} s"),
        Line("lag normal again", "1 h 45 min, by hand", healed, report.healed_after is not None),
        Line("events applied twice", "12%", str(judged.duplicate_events), judged.duplicate_events == 0),
        Line("events applied out of order", "1,234", str(judged.events_out_of_order), judged.events_out_of_order == 0),
        Line("events lost", "not known", str(judged.events_lost), judged.events_lost == 0),
        Line("sessions corrupted", "23", str(judged.corrupted_sessions), judged.corrupted_sessions == 0),
        Line("videos transcoded twice", "847", str(judged.transcoded_twice), judged.transcoded_twice == 0),
    ]
