"""Spans: what submitted a job is the parent of what processes it, through every message and follow-up."""

from __future__ import annotations

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind
from structlog.contextvars import get_contextvars

from jobkit import Context, Reject, processor
from tests.steps import Step, step
from tests.virtual_site import Site, in_virtual_time, open_site


def _one(site: Site, name: str) -> ReadableSpan:
    (span,) = [span for span in site.witness.spans if span.name == name]
    return span


@in_virtual_time
async def test_processing_is_a_child_of_submitting() -> None:
    async with open_site(step) as site:
        tracer = site.witness.telemetry.tracer
        with tracer.start_as_current_span("request") as request:
            job = await site.client.submit("step", Step(number=7))
        site.start()
        await site.ended(job.id)
        sent, span = _one(site, "send step"), _one(site, "process step")
        assert sent.parent is not None
        assert span.parent is not None
        assert sent.parent.span_id == request.get_span_context().span_id
        assert span.parent.span_id == sent.context.span_id
        assert span.context.trace_id == request.get_span_context().trace_id
        assert (sent.kind, span.kind) == (SpanKind.PRODUCER, SpanKind.CONSUMER)
        assert dict(span.attributes or {}) == {
            "messaging.operation.type": "process",
            "messaging.message.id": job.id,
            "jobkit.type": "step",
            "jobkit.key": "k",
            "jobkit.token": 3,
        }


@in_virtual_time
async def test_a_job_that_was_submitted_outside_of_any_span_starts_a_trace() -> None:
    async with open_site(step) as site:
        job = await site.client.submit("step", Step())
        site.start()
        await site.ended(job.id)
        assert _one(site, "send step").parent is None


@in_virtual_time
async def test_a_processors_own_spans_and_follow_ups_are_part_of_the_trace() -> None:
    @processor("parent", key=lambda job: job.on)
    async def parent(job: Step, ctx: Context) -> None:
        with site.witness.telemetry.tracer.start_as_current_span("inner"):
            ctx.submit("step", Step())

    async with open_site(parent, step) as site:
        site.start()
        await site.client.submit("parent", Step())
        await site.until(lambda: site.witness.count("jobkit.jobs", {"outcome": "committed"}) == 2)
        outer, inner, follow_up = (_one(site, name) for name in ("process parent", "inner", "process step"))
        assert inner.parent is not None
        assert follow_up.parent is not None
        assert inner.parent.span_id == outer.context.span_id
        assert follow_up.parent.span_id == inner.context.span_id


@in_virtual_time
async def test_jobs_that_run_side_by_side_do_not_mix_their_spans() -> None:
    seen: dict[str, int] = {}

    @processor("watched", key=lambda job: job.on)
    async def watched(job: Step, ctx: Context) -> None:
        await ctx.clock.sleep(1)
        seen[ctx.job.id] = trace.get_current_span().get_span_context().span_id

    async with open_site(watched) as site:
        site.start()
        jobs = [await site.client.submit("watched", Step(on=f"k{number}")) for number in range(4)]
        for job in jobs:
            await site.ended(job.id)
        await site.at_rest()
        spans = [span for span in site.witness.spans if span.kind is SpanKind.CONSUMER]
        assert len(spans) == 4
        for span in spans:
            assert span.attributes is not None
            assert seen[str(span.attributes["messaging.message.id"])] == span.context.span_id


@in_virtual_time
async def test_the_log_lines_of_a_processor_name_its_job() -> None:
    bound: list[dict[str, object]] = []

    @processor("logging", key=lambda job: job.on)
    async def logging(job: Step, ctx: Context) -> None:
        bound.append(get_contextvars())
        ctx.log.info("hello")
        raise Reject("done")

    async with open_site(logging) as site:
        site.start()
        job = await site.client.submit("logging", Step())
        await site.ended(job.id)
        assert bound == [{"job": job.id, "type": "logging", "key": "k", "token": 3, "attempt": 1}]
        assert site.witness.lines("hello")
        assert get_contextvars() == {}
