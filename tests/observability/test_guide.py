"""docs/observability.md lists exactly the metrics that there are."""

from __future__ import annotations

from pathlib import Path

from jobkit.telemetry.metrics import ANY, CATALOGUE, TYPES, Kind, Metric
from tests.observability.exposed import prometheus_name

GUIDE = Path(__file__).parents[2] / "docs/observability.md"


def _row(metric: Metric) -> str:
    attributes = []
    for name, values in metric.values.items():
        listed = [value for value in values if value]
        known = values is not TYPES and values is not ANY and listed
        attributes.append(f"`{name}`" + (f" ({', '.join(listed)})" if known else ""))
    shown = prometheus_name(metric.name, metric.unit) + ("_total" if metric.kind is Kind.COUNTER else "")
    return f"| `{metric.name}` | `{shown}` | {metric.kind} | {', '.join(attributes)} | {metric.description} |"


def test_the_guide_lists_every_metric_and_no_other() -> None:
    listed = [line for line in GUIDE.read_text().splitlines() if line.startswith(("| `jobkit.", "| `messaging."))]
    assert listed == [_row(metric) for metric in CATALOGUE]
