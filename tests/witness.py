"""What a process said of itself: its metrics, spans and log lines, kept in memory for a test to read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import structlog
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from structlog.testing import LogCapture

from jobkit.telemetry import Telemetry


class Witness:
    """A `Telemetry` whose words are kept."""

    def __init__(self) -> None:
        self._reader = InMemoryMetricReader()
        self._spans = InMemorySpanExporter()
        self._capture = LogCapture()
        self.tracers = TracerProvider(shutdown_on_exit=False)
        self.tracers.add_span_processor(SimpleSpanProcessor(self._spans))
        self.telemetry = Telemetry(
            meters=MeterProvider([self._reader], shutdown_on_exit=False),
            tracers=self.tracers,
            log=structlog.wrap_logger(None, processors=[self._capture], wrapper_class=structlog.BoundLogger),
        )

    @property
    def log(self) -> list[dict[str, Any]]:
        """Every log line, as its fields."""
        return [dict(entry) for entry in self._capture.entries]

    def lines(self, event: str) -> list[dict[str, Any]]:
        """The log lines of one event."""
        return [entry for entry in self.log if entry["event"] == event]

    def count(self, metric: str, attributes: Mapping[str, str] | None = None) -> float:
        """The sum of a counter, or the count of a histogram, over the points that have `attributes`."""
        total = 0.0
        for point in self.points(metric):
            if (attributes or {}).items() <= dict(point.attributes).items():
                total += point.value if hasattr(point, "value") else point.count
        return total

    def points(self, metric: str) -> list[Any]:
        """The data points of a metric."""
        data = self._reader.get_metrics_data()
        if data is None:
            return []
        return [
            point
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for found in scope.metrics
            if found.name == metric
            for point in found.data.data_points
        ]

    def metrics(self) -> set[str]:
        """The names of all metrics that have a point."""
        data = self._reader.get_metrics_data()
        if data is None:
            return set()
        return {
            found.name
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for found in scope.metrics
        }

    @property
    def spans(self) -> list[ReadableSpan]:
        """The spans that have ended."""
        return list(self._spans.get_finished_spans())
