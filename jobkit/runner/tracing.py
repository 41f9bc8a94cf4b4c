"""Spans around the way of a job: claim, process with its stages, release and ack, each a child of what sent the job."""

from __future__ import annotations

from contextlib import AbstractContextManager

from opentelemetry.trace import Span

from jobkit.leases import Lease
from jobkit.ports.coordinator import Held
from jobkit.ports.limits import Limited
from jobkit.runner.decode import Job
from jobkit.telemetry import Telemetry
from jobkit.telemetry.spans import UNRECORDED, Current, message_span
from jobkit.telemetry.trace_context import carried_context


def job_span(telemetry: Telemetry, job: Job, lease: Lease) -> AbstractContextManager[Span]:
    """Return a consumer span for what is done with the job under one lease."""
    if not telemetry.traced:
        # Of use are its ids alone, which log lines and follow-up jobs carry.
        return Current(telemetry.tracer.start_span("process", context=carried_context(job.envelope.trace)))
    attributes: dict[str, str | int] = {"jobkit.token": lease.ref.token}
    if job.sequence is not None:
        attributes["jobkit.sequence"] = job.sequence
    return message_span(telemetry.tracer, "process", "process", job.envelope, attributes)


def step_span(telemetry: Telemetry, name: str, job: Job) -> AbstractContextManager[Span | None]:
    """Return a span for a step before or after the processing: claim, release or ack."""
    if not telemetry.traced:
        return UNRECORDED
    return message_span(telemetry.tracer, name, "settle" if name == "ack" else "", job.envelope)


def note_claim(span: Span | None, claim: Lease | Held | Limited) -> None:
    """Write what became of a claim into its span."""
    if span is None:
        return
    if isinstance(claim, Lease):
        span.set_attributes({"jobkit.outcome": "granted", "jobkit.token": claim.ref.token})
    elif isinstance(claim, Limited):
        span.set_attributes({"jobkit.outcome": "limited", "jobkit.limit": claim.limit.bucket})
    else:
        span.set_attributes({"jobkit.outcome": "held", "jobkit.holder": claim.owner})
