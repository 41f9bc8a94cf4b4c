"""Spans for a process that exports none: they have ids, which log lines and messages carry, and keep nothing else.

They do not tell what happened; whoever wants that runs the process under an OpenTelemetry SDK with an exporter, and
these are then not used. A span that is recorded for nobody costs a fifth of a short job's time.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from opentelemetry.context import Context
from opentelemetry.trace import (
    NonRecordingSpan,
    Span,
    SpanContext,
    TraceFlags,
    Tracer,
    TracerProvider,
    get_current_span,
    use_span,
)

# What the API's own abstract method is decorated with; there is no public name for it.
from opentelemetry.util._decorator import _agnosticcontextmanager

_SAMPLED = TraceFlags(TraceFlags.SAMPLED)


class NullTracerProvider(TracerProvider):
    """Makes tracers whose spans continue the trace of their parent, or begin one."""

    def get_tracer(self, instrumenting_module_name: str, *_args: Any, **_kwargs: Any) -> Tracer:  # noqa: ARG002
        return _Tracer()


class _Tracer(Tracer):
    def start_span(self, name: str, context: Context | None = None, *_args: Any, **_kwargs: Any) -> Span:  # noqa: ARG002
        parent = get_current_span(context).get_span_context()
        number = random.getrandbits(64) or 1
        if parent.is_valid:
            own = SpanContext(parent.trace_id, number, False, parent.trace_flags, parent.trace_state)
        else:
            # Sampled, so that a service which this job calls records its part of it.
            own = SpanContext(random.getrandbits(128) or 1, number, False, _SAMPLED)
        return NonRecordingSpan(own)

    @_agnosticcontextmanager
    def start_as_current_span(
        self, name: str, context: Context | None = None, *_args: Any, **_kwargs: Any
    ) -> Iterator[Span]:
        with use_span(self.start_span(name, context), record_exception=False, set_status_on_exception=False) as span:
            yield span
