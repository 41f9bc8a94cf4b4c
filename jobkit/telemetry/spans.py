"""Spans after OpenTelemetry's messaging conventions, whose names and attributes are still in development there.

A message carries the context of the span that created it. Whatever is done about it later, by whatever process, is a
child of that span: so retries, hand-overs and follow-up jobs are found in one trace.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType

from opentelemetry.context import Context, attach, detach
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    NoOpTracerProvider,
    ProxyTracerProvider,
    Span,
    SpanContext,
    SpanKind,
    TraceFlags,
    Tracer,
    TracerProvider,
    get_current_span,
    set_span_in_context,
)

from jobkit.model.envelope import Envelope
from jobkit.telemetry.metrics import SYSTEM
from jobkit.telemetry.null_tracing import NullTracerProvider
from jobkit.telemetry.trace_context import carried_context

# In place of a span that nobody would see.
UNRECORDED: AbstractContextManager[None] = nullcontext()
# As many as the SDK keeps of one span unless it is told otherwise.
_MOST_LINKS = 128


class Current:
    """Make an unrecorded span the current one for a block, at a third of the cost of the full way."""

    __slots__ = ("_span", "_token")

    def __init__(self, span: Span) -> None:
        self._span = span

    def __enter__(self) -> Span:
        self._token = attach(set_span_in_context(self._span))
        return self._span

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        detach(self._token)


def recorded_by(provider: TracerProvider) -> bool:
    """Return whether spans of this provider are recorded."""
    return not isinstance(provider, NullTracerProvider | ProxyTracerProvider | NoOpTracerProvider)


def creation_context(envelope: Envelope) -> Context:
    """Return the context that the message was created in.

    One that brought none gets it from its id, so that whatever is done about it, in any process, is one trace still.
    """
    context = carried_context(envelope.trace)
    if get_current_span(context).get_span_context().is_valid:
        return context
    digest = hashlib.sha256(envelope.id.encode()).digest()
    trace_id, span_id = int.from_bytes(digest[:16]), int.from_bytes(digest[16:24])
    creator = SpanContext(trace_id, span_id, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED))
    return set_span_in_context(NonRecordingSpan(creator), Context())


def message_span(
    tracer: Tracer,
    operation: str,
    kind: str,
    envelope: Envelope,
    attributes: Mapping[str, str | int] | None = None,
) -> AbstractContextManager[Span]:
    """Return a span for what is done with one message. `kind` is one of the conventions' types, or "" for none.

    Its parent is the span that created the message.
    """
    return tracer.start_as_current_span(
        f"{operation} {envelope.type}",
        context=creation_context(envelope),
        kind=SpanKind.CONSUMER if kind == "process" else SpanKind.CLIENT,
        attributes={
            "messaging.system": SYSTEM,
            "messaging.operation.name": operation,
            **({"messaging.operation.type": kind} if kind else {}),
            "messaging.destination.name": envelope.type,
            "messaging.message.id": envelope.id,
            "jobkit.key": envelope.key or "",
            **(attributes or {}),
        },
    )


def producer_span(tracer: Tracer, operation: str, type: str) -> AbstractContextManager[Span]:
    """Return a span that creates a message, as its current span does; `operation` is create, or send with it."""
    return tracer.start_as_current_span(
        f"{operation} {type}",
        kind=SpanKind.PRODUCER,
        attributes={
            "messaging.system": SYSTEM,
            "messaging.operation.name": operation,
            "messaging.operation.type": operation,
            "messaging.destination.name": type,
        },
    )


def batch_span(tracer: Tracer, operation: str, envelopes: Iterable[Envelope]) -> AbstractContextManager[Span]:
    """Return a span for sending messages that were created before, with a link to each one's creation."""
    batch = list(envelopes)
    types = sorted({envelope.type for envelope in batch})
    contexts = (get_current_span(creation_context(envelope)).get_span_context() for envelope in batch[:_MOST_LINKS])
    attributes: dict[str, str | int] = {
        "messaging.system": SYSTEM,
        "messaging.operation.name": operation,
        "messaging.operation.type": "send",
        "messaging.batch.message_count": len(batch),
    }
    if len(types) == 1:
        attributes["messaging.destination.name"] = types[0]
    return tracer.start_as_current_span(
        f"{operation} {types[0]}" if len(types) == 1 else operation,
        kind=SpanKind.CLIENT,
        attributes=attributes,
        links=[Link(context) for context in contexts if context.is_valid],
    )


def stage(tracer: Tracer, name: str, attributes: Mapping[str, str | int]) -> AbstractContextManager[Span | None]:
    """Return a span for a part of what the current span is about, or nothing where that one is not recorded."""
    if not get_current_span().is_recording():
        return UNRECORDED
    return tracer.start_as_current_span(name, attributes=dict(attributes))
