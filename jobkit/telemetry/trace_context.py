"""The trace that a message carries from the process that created it to the one that works on it."""

from __future__ import annotations

from collections.abc import Mapping

from opentelemetry import propagate
from opentelemetry.context import Context


def current_trace() -> dict[str, str]:
    """Return what a message created here and now is to carry: the current span's context, as headers."""
    trace: dict[str, str] = {}
    propagate.inject(trace)
    return trace


def carried_context(trace: Mapping[str, str]) -> Context:
    """Return the context that a message has carried; an empty one where it carried none."""
    return propagate.extract(trace) if trace else Context()
