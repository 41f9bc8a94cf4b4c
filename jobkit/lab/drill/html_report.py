"""The report as one HTML page: no scripts, nothing fetched, charts as SVG; light and dark, wide and narrow."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from html import escape

from jobkit.lab.drill.comparison import comparison, is_better, verdict
from jobkit.lab.drill.run import DrillReport
from jobkit.lab.drill.sampling import Sample
from jobkit.lab.drill.script import Phase
from jobkit.model.invariant import Invariant

_WIDTH, _HEIGHT = 480, 204
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 10, 40, 28
# The names of phases; a letter is no wider than this on average, with the gap between two names.
_LABEL_ROWS, _LABEL_HEIGHT, _LETTER_WIDTH = 2, 15, 8.0
_TICKS = 4
_VIOLATIONS_SHOWN = 20

_STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #59636e; --paper: #ffffff; --card: #f6f8fa; --edge: #d1d9e0;
  --line: #0969da; --good: #1a7f37; --bad: #cf222e; --doubtful: #9a6700;
  --slow: #9a670033; --flapping: #bc4c0033; --partitioned: #cf222e2e; --lost: #8250df33; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --soft: #9198a1; --paper: #0d1117; --card: #161b22;
  --edge: #30363d; --line: #58a6ff; --good: #3fb950; --bad: #f85149;
  --doubtful: #d29922; --slow: #d2992240; --flapping: #db6d2840;
  --partitioned: #f8514938; --lost: #a371f740; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 24px 16px 48px; max-width: 1120px; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.6rem; margin: 0 0 4px; } h2 { font-size: 1.15rem; margin: 32px 0 8px; }
p { margin: 4px 0 12px; } .soft { color: var(--soft); }
.verdict { display: inline-block; margin: 12px 0; padding: 6px 14px; border-radius: 8px; font-weight: 600;
  color: #fff; }
.verdict.good { background: var(--good); } .verdict.bad { background: var(--bad); }
.verdict.doubtful { background: var(--doubtful); }
@media (prefers-color-scheme: dark) { .verdict { color: #0d1117; } }
.scroll { overflow-x: auto; } table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: 6px 12px 6px 0; border-bottom: 1px solid var(--edge); vertical-align: top; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 440px), 1fr)); gap: 16px; }
figure { margin: 0; padding: 12px; background: var(--card); border: 1px solid var(--edge); border-radius: 8px; }
figcaption { font-weight: 600; } svg { width: 100%; height: auto; display: block; }
svg text { fill: var(--soft); font: 13px system-ui, sans-serif; } .grid { stroke: var(--edge); stroke-width: 1; }
.line { fill: none; stroke: var(--line); stroke-width: 2; stroke-linejoin: round; }
.phase { font-weight: 600; } .slow { fill: var(--slow); } .flapping, .stalling { fill: var(--flapping); }
.partitioned, .paused { fill: var(--partitioned); }
.lost { fill: var(--lost); } .good-text { color: var(--good); } .bad-text { color: var(--bad); }
"""


def render(report: DrillReport) -> str:
    """Return the page."""
    shown = verdict(report)
    mood = "bad" if not report.holds else "good" if is_better(report) else "doubtful"
    broken = ""
    if report.plan.broken is not None:
        broken = f"<p><strong>Without {report.plan.broken.value}:</strong> {escape(report.plan.broken.flaw)}.</p>"
    backends = "embedded backends" if report.plan.embedded else "RabbitMQ, Redis and PostgreSQL"
    began = datetime.fromtimestamp(report.began, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>jobkit drill: {escape(shown)}</title><style>{_STYLE}</style></head><body>
<h1>jobkit drill</h1>
<p class="soft">{began}, on {backends}, seed {report.plan.seed}</p>
<p class="verdict {mood}">{escape(shown)}</p>{broken}
<h2>Beside the incident</h2>{_comparison(report)}
<h2>Over time</h2><div class="charts">{"".join(_charts(report))}</div>
<h2>What broke</h2>{_violations(report)}
<h2>What happened</h2>{_phases(report)}
</body></html>
"""


# ---- tables ----------------------------------------------------------------------------------------------------------


def _comparison(report: DrillReport) -> str:
    judged = report.judgement
    body = "".join(
        f'<tr><td>{escape(line.name.capitalize())}</td><td class="number soft">{line.then}</td>'
        f'<td class="number {_mood(line.good)}">{escape(line.now)}</td></tr>'
        for line in comparison(report)
    )
    head = '<tr><th></th><th class="number">the incident</th><th class="number">this drill</th></tr>'
    said = f"{judged.events:,} events of {judged.sessions:,} sessions, {judged.transcodes:,} transcodes"
    return f'<div class="scroll"><table>{head}{body}</table></div><p class="soft">{said}</p>'


def _mood(good: bool) -> str:
    return "good-text" if good else "bad-text"


def _violations(report: DrillReport) -> str:
    found = report.judgement.violations
    if not found:
        return "<p>Nothing.</p>"
    rows = "".join(
        f"<tr><td>{escape(one.invariant)}</td><td>{escape(one.where)}</td><td>{escape(one.what)}</td></tr>"
        for one in found[:_VIOLATIONS_SHOWN]
    )
    more = f"<p>and {len(found) - _VIOLATIONS_SHOWN} more</p>" if len(found) > _VIOLATIONS_SHOWN else ""
    head = "<tr><th>invariant</th><th>where</th><th>what</th></tr>"
    return f'<div class="scroll"><table>{head}{rows}</table></div>{more}'


def _phases(report: DrillReport) -> str:
    rows = "".join(
        f'<tr><td class="number">{at:.0f}&nbsp;s</td><td class="phase">{phase.value}</td>'
        f"<td>{escape(_sentence(report.script.told(phase)))}</td></tr>"
        for phase, at in report.phases.items()
    )
    return f'<div class="scroll"><table>{rows}</table></div>'


def _sentence(told: str) -> str:
    return f"{told[0].upper()}{told[1:]}."


# ---- charts ----------------------------------------------------------------------------------------------------------


def _charts(report: DrillReport) -> list[str]:
    duplicates = [
        one.at - report.began for one in report.judgement.violations if one.invariant == Invariant.SINGLE_EFFECT
    ]
    disorder = [one.at - report.began for one in report.judgement.violations if one.invariant == Invariant.ORDER]

    def count(moments: Sequence[float]) -> Callable[[Sample], float]:
        return lambda sample: sum(moment <= sample.at for moment in moments)

    return [
        _chart(report, "Leaderships that changed hands", lambda sample: sample.elections),
        _chart(report, "Acquisitions that failed", lambda sample: sample.failed_claims),
        _chart(report, "Lag from event to effect, seconds", lambda sample: sample.lag),
        _chart(report, "Stale writes refused", lambda sample: sample.stale_writes),
        _chart(report, "Duplicate effects", count(duplicates)),
        _chart(report, "Effects out of order", count(disorder)),
    ]


def _chart(report: DrillReport, title: str, value: Callable[[Sample], float]) -> str:
    points = [(sample.at, float(value(sample))) for sample in report.samples]
    seconds = max((at for at, _ in points), default=1.0)
    top = _round_up(max((y for _, y in points), default=0.0))

    def x(at: float) -> float:
        return _LEFT + at / seconds * (_WIDTH - _LEFT - _RIGHT)

    def y(one: float) -> float:
        return _HEIGHT - _BOTTOM - one / top * (_HEIGHT - _TOP - _BOTTOM)

    line = " ".join(f"{x(at):.1f},{y(one):.1f}" for at, one in points)
    label = f"{title}; at the end {points[-1][1]:g}" if points else title
    return (
        f'<figure><figcaption>{escape(title)}</figcaption><svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="{escape(label)}">{_bands(report, x, seconds)}{_grid(top, y, x, seconds)}'
        f'<polyline class="line" points="{line}"/></svg></figure>'
    )


def _bands(report: DrillReport, x: Callable[[float], float], seconds: float) -> str:
    """Return the phases of trouble as bands behind a chart; a label that has no room beside others is above them."""
    starts = [*report.phases.items(), (Phase.HEALED, seconds)]
    bands = []
    ends = [0.0] * _LABEL_ROWS
    for (phase, begin), (_, end) in itertools.pairwise(starts):
        if phase not in (Phase.NORMAL, Phase.HEALED):
            left, width = x(begin), x(min(end, seconds)) - x(begin)
            half = len(phase.value) * _LETTER_WIDTH / 2
            wanted = min(left + width / 2, _WIDTH - half) - half
            beside = [max(taken, wanted) for taken in ends]
            row = beside.index(min(beside))
            middle = beside[row] + half
            ends[row] = middle + half
            bands.append(
                f'<rect class="{phase.value}" x="{left:.1f}" y="{_TOP}" width="{max(width, 0):.1f}" '
                f'height="{_HEIGHT - _TOP - _BOTTOM}"/>'
                f'<text x="{middle:.1f}" y="{_TOP - 8 - row * _LABEL_HEIGHT}" text-anchor="middle">{phase.value}</text>'
            )
    return "".join(bands)


def _grid(top: float, y: Callable[[float], float], x: Callable[[float], float], seconds: float) -> str:
    lines = []
    for tick in range(_TICKS + 1):
        level = top * tick / _TICKS
        lines.append(
            f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y(level):.1f}" y2="{y(level):.1f}"/>'
            f'<text x="{_LEFT - 8}" y="{y(level) + 4:.1f}" text-anchor="end">{level:g}</text>'
        )
        at = seconds * tick / _TICKS
        anchor = "end" if tick == _TICKS else "middle"
        lines.append(f'<text x="{x(at):.1f}" y="{_HEIGHT - 8}" text-anchor="{anchor}">{at:.0f} s</text>')
    return "".join(lines)


def _round_up(highest: float) -> float:
    """Return a number not below `highest` whose quarters read well."""
    scale = 0.001
    while highest > 20 * scale:
        scale *= 10
    return next(factor * scale for factor in (4, 8, 20) if highest <= factor * scale) if highest > 0 else 4.0
