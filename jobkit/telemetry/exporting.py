"""How metrics and spans leave the process: by the exporters that OpenTelemetry's own variables name, and as a page.

Nothing is promised to arrive: what a collector that is away does not take is dropped, and neither the work nor the end
of the process waits for it for more than a few seconds. Where the process runs under OpenTelemetry's agent, the
providers are the agent's and stay so. The file of `OTEL_EXPERIMENTAL_CONFIG_FILE` is not read.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import entry_points
from typing import Any

import structlog
from opentelemetry import metrics, trace
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import choose_encoder

from jobkit.distribution import install_hint
from jobkit.errors import ConfigurationError
from jobkit.telemetry.null_tracing import NullTracerProvider

# How long the end of the process waits, in seconds, for what is still to be delivered.
LAST_WORDS_SECONDS = 5.0

_OTLP = {"grpc": "otlp_proto_grpc", "http/protobuf": "otlp_proto_http"}


class MetricsPage:
    """All metrics of the process, as Prometheus asks for them."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        # Memory, processor time and open files, of Linux processes.
        ProcessCollector(registry=self._registry)
        # Which scope a metric is of, its name tells.
        self.reader = PrometheusMetricReader(registry=self._registry, scope_info_enabled=False)

    def render(self, accept: str) -> tuple[bytes, str]:
        """Return the page in a format that `accept`, an HTTP header, allows, and its content type."""
        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type


@contextmanager
def exporting(*, instance: str, page: MetricsPage | None = None) -> Iterator[None]:
    """Give the process the providers that the `OTEL_…` variables ask for, and deliver the rest at the end.

    `instance` tells this process from others of its kind; `page` is what shall show its metrics besides. Raises
    `ConfigurationError` where an exporter is named that is not there, or cannot begin.
    """
    resource = Resource.create({"service.name": "jobkit", "service.instance.id": instance})
    closing = [*_trace(resource), *_measure(resource, page)]
    try:
        yield
    finally:
        _deliver(closing)


def _trace(resource: Resource) -> list[Callable[[], None]]:
    """Set the provider of spans; return what delivers the last of them."""
    if isinstance(trace.get_tracer_provider(), TracerProvider):
        return []
    exporters = _exporters("OTEL_TRACES_EXPORTER", "opentelemetry_traces_exporter", "TRACES")
    if not exporters:
        trace.set_tracer_provider(NullTracerProvider())
        return []
    provider = TracerProvider(resource=resource)
    for exporter in exporters:
        provider.add_span_processor(BatchSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    return [provider.shutdown]


def _measure(resource: Resource, page: MetricsPage | None) -> list[Callable[[], None]]:
    """Set the provider of metrics; return what delivers the last of them."""
    readers: list[MetricReader] = [page.reader] if page is not None else []
    there = metrics.get_meter_provider()
    if isinstance(there, MeterProvider):
        for reader in readers:
            there.add_metric_reader(reader)
        return []
    named = _exporters("OTEL_METRICS_EXPORTER", "opentelemetry_metrics_exporter", "METRICS")
    readers += [each if isinstance(each, MetricReader) else PeriodicExportingMetricReader(each) for each in named]
    if not readers:
        return []
    provider = MeterProvider(readers, resource=resource)
    metrics.set_meter_provider(provider)
    return [provider.shutdown]


def _exporters(variable: str, group: str, signal: str) -> list[Any]:
    """Return what `variable` names, made as its own variables say."""
    named = [name.strip() for name in os.environ.get(variable, "").split(",")]
    return [_exporter(variable, name, group, signal) for name in named if name and name.lower() != "none"]


def _exporter(variable: str, name: str, group: str, signal: str) -> Any:
    wanted = _over_otlp(signal) if name == "otlp" else name
    found = next(iter(entry_points(group=group, name=wanted)), None)
    if found is None:
        there = sorted({known.name for known in entry_points(group=group)} | {"none"})
        cure = install_hint("otlp") if name.startswith("otlp") else f"there are {', '.join(there)}"
        raise ConfigurationError(f"{variable}={name}: no exporter of that name is installed; {cure}")
    try:
        return found.load()()
    except ImportError as error:
        raise ConfigurationError(f"{variable}={name}: the exporter does not load: {error}") from error
    except (OSError, ValueError, RuntimeError) as error:
        raise ConfigurationError(f"{variable}={name}: the exporter cannot begin: {error}") from error


def _over_otlp(signal: str) -> str:
    for variable in (f"OTEL_EXPORTER_OTLP_{signal}_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"):
        if protocol := os.environ.get(variable, "").strip():
            if protocol not in _OTLP:
                raise ConfigurationError(f"{variable}={protocol}: use {' or '.join(_OTLP)}")
            return _OTLP[protocol]
    return _OTLP["grpc"]


def _deliver(closing: list[Callable[[], None]]) -> None:
    """Shut all providers down, side by side, and leave those that do not come to an end."""
    # Threads of our own: none of them may keep the process from ending.
    threads = [threading.Thread(target=close, name="jobkit-last-words", daemon=True) for close in closing]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + LAST_WORDS_SECONDS
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    if any(thread.is_alive() for thread in threads):
        structlog.get_logger("jobkit").warning(
            "the last spans and metrics were not delivered: no collector took them", waited=LAST_WORDS_SECONDS
        )
