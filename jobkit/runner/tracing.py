"""Spans around the way of a job, after OpenTelemetry's messaging conventions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry import propagate
from opentelemetry.trace import SpanKind, Tracer

from jobkit.leases import Lease
from jobkit.runner.job import Job


@contextmanager
def job_span(tracer: Tracer, job: Job, lease: Lease) -> Iterator[None]:
    """Run the block in a consumer span whose parent is the span that submitted the job."""
    envelope = job.envelope
    with tracer.start_as_current_span(
        f"process {envelope.type}",
        context=propagate.extract(envelope.trace),
        kind=SpanKind.CONSUMER,
        attributes={
            "messaging.operation.type": "process",
            "messaging.message.id": envelope.id,
            "jobkit.type": envelope.type,
            "jobkit.key": job.key,
            "jobkit.token": lease.ref.token,
        },
    ):
        yield
