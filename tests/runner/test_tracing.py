"""Spans: what submitted a job is the parent of what processes it, through every message and follow-up."""

from __future__ import annotations

from datetime import timedelta

from opentelemetry import propagate, trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind

from jobkit import Context, Reject, RetryPolicy, processor
from jobkit.leases import Lease
from jobkit.model.clock import SystemClock
from jobkit.model.envelope import Envelope
from jobkit.ports.coordinator import LeaseRef
from jobkit.runner.decode import Job
from jobkit.runner.tracing import job_span, step_span
from jobkit.telemetry import Telemetry
from jobkit.telemetry.log_context import merge_log_context
from jobkit.telemetry.null_tracing import NullTracerProvider
from tests.faults.doubles import Faults
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
            "messaging.system": "jobkit",
            "messaging.operation.name": "process",
            "messaging.operation.type": "process",
            "messaging.destination.name": "step",
            "messaging.message.id": job.id,
            "jobkit.key": "k",
            "jobkit.sequence": 1,
            "jobkit.token": 3,
        }
        assert sent.attributes is not None
        assert sent.attributes["messaging.message.id"] == job.id


def _below(site: Site, parent: ReadableSpan) -> list[str]:
    """The names of a span's children in the order of their beginnings."""
    found = [span for span in site.witness.spans if span.parent and span.parent.span_id == parent.context.span_id]
    return [span.name for span in sorted(found, key=lambda span: span.start_time or 0)]


@in_virtual_time
async def test_the_trace_of_a_job_shows_its_whole_way() -> None:
    async with open_site(step) as site:
        job = await site.client.submit("step", Step())
        site.start()
        await site.ended(job.id)
        await site.at_rest()
        await site.until(lambda: any(span.name == "ack step" for span in site.witness.spans))
        sent = _one(site, "send step")
        assert _below(site, sent) == ["publish step", "claim step", "process step", "ack step", "release step"]
        assert _below(site, _one(site, "process step")) == ["open", "attempt", "commit"]
        assert {span.context.trace_id for span in site.witness.spans} == {sent.context.trace_id}
        assert _one(site, "ack step").kind is SpanKind.CLIENT
        claimed = _one(site, "claim step").attributes or {}
        assert (claimed["jobkit.outcome"], claimed["jobkit.token"]) == ("granted", 3)
        (link,) = _one(site, "publish step").links
        assert link.context.span_id == sent.context.span_id


@in_virtual_time
async def test_attempts_that_fail_and_the_one_that_does_not_are_in_one_trace() -> None:
    @processor("flaky", key=lambda job: job.on, retry=RetryPolicy(initial=timedelta(seconds=1)))
    async def flaky(job: Step, ctx: Context) -> None:
        if ctx.job.attempt < 3:
            raise ValueError("not yet")

    async with open_site(flaky) as site:
        site.start()
        job = await site.client.submit("flaky", Step())
        await site.ended(job.id)
        await site.at_rest()
        runs = [span for span in site.witness.spans if span.name == "process flaky"]
        sent = _one(site, "send flaky")
        assert len(runs) == 3
        assert {span.parent.span_id for span in runs if span.parent} == {sent.context.span_id}
        attempts = [span for span in site.witness.spans if span.name == "attempt"]
        assert [(span.attributes or {})["jobkit.attempt"] for span in attempts] == [1, 2, 3]


@in_virtual_time
async def test_a_job_that_brought_no_trace_has_one_all_the_same() -> None:
    """From its id: what is done about it by several processes is still found together."""

    @processor("flaky", key=lambda job: job.on, retry=RetryPolicy(initial=timedelta(seconds=1)))
    async def flaky(job: Step, ctx: Context) -> None:
        if ctx.job.attempt < 2:
            raise ValueError("not yet")

    async with open_site(flaky) as site:
        site.start()
        new = site.registry.new_job("flaky", Step(), key="k", id="mine", submitted_at=0.0, trace={})
        await site.planes.store.submit([new])
        await site.ended("mine")
        await site.at_rest()
        spans = [span for span in site.witness.spans if span.name != "publish flaky"]
        assert len([span for span in spans if span.name == "process flaky"]) == 2
        assert len({span.context.trace_id for span in spans}) == 1
        (published,) = [span for span in site.witness.spans if span.name == "publish flaky"][:1]
        assert published.links[0].context.trace_id == spans[0].context.trace_id


@in_virtual_time
async def test_a_batch_has_a_span_that_links_to_each_jobs_own() -> None:
    async with open_site(step) as site:
        await site.client.submit_many([site.client.job("step", Step(on=f"k{number}")) for number in range(3)])
        created = [span for span in site.witness.spans if span.name == "create step"]
        sent, published = _one(site, "send step"), _one(site, "publish step")
        assert len(created) == 3
        assert {link.context.span_id for link in sent.links} == {span.context.span_id for span in created}
        assert sent.kind is SpanKind.CLIENT
        assert (sent.attributes or {})["messaging.batch.message_count"] == 3
        assert published.parent is not None
        assert published.parent.span_id == sent.context.span_id


@in_virtual_time
async def test_an_adopted_job_stays_in_its_trace() -> None:
    """hand-over: the delivery is acked, the worker dies, and another adopts the job from the in-flight table."""
    async with open_site(step, delivery_hold=5.0, lease_ttl=6.0) as site:
        first = site.start("a")
        job = await site.client.submit("step", Step(seconds=30))

        async def shelved() -> bool:
            return await site.shelved() == 1

        await site.until(shelved)
        await first.crash()
        site.start("b", faults=Faults(site.clock))
        await site.ended(job.id)
        trace_ids = {span.context.trace_id for span in site.witness.spans if span.name == "process step"}
        assert trace_ids == {_one(site, "send step").context.trace_id}
        assert len([span for span in site.witness.spans if span.name == "commit"]) == 1


def test_a_process_that_records_no_spans_hands_the_trace_on_and_makes_no_others() -> None:
    telemetry = Telemetry(tracers=NullTracerProvider())
    assert not telemetry.traced
    parent = Envelope("i", "step", b"", key="k", trace={"traceparent": f"00-{'a' * 32}-{'b' * 16}-01"})
    job = Job(parent, step, Step())
    lease = Lease(LeaseRef("step/k", 1, "n"), "me", 1e9, SystemClock())
    with job_span(telemetry, job, lease), telemetry.stage("open") as stage:
        carried: dict[str, str] = {}
        propagate.inject(carried)
    assert carried["traceparent"].split("-")[1] == "a" * 32
    assert stage is None
    with step_span(telemetry, "claim", job) as span:
        assert span is None


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
        inner, follow_up = (_one(site, name) for name in ("inner", "process step"))
        attempt = next(span for span in site.witness.spans if span.name == "attempt")
        assert inner.parent is not None
        assert follow_up.parent is not None
        assert inner.parent.span_id == attempt.context.span_id
        assert follow_up.parent.span_id == inner.context.span_id


@in_virtual_time
async def test_jobs_that_run_side_by_side_do_not_mix_their_spans() -> None:
    seen: dict[str, tuple[int, int]] = {}

    @processor("watched", key=lambda job: job.on)
    async def watched(job: Step, ctx: Context) -> None:
        await ctx.clock.sleep(1)
        context = trace.get_current_span().get_span_context()
        seen[ctx.job.id] = (context.trace_id, context.span_id)

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
            trace_id, span_id = seen[str(span.attributes["messaging.message.id"])]
            (attempt,) = [found for found in site.witness.spans if found.context.span_id == span_id]
            assert attempt.parent is not None
            assert (trace_id, attempt.parent.span_id) == (span.context.trace_id, span.context.span_id)


@in_virtual_time
async def test_the_log_lines_of_a_processor_name_its_job() -> None:
    bound: list[dict[str, object]] = []

    @processor("logging", key=lambda job: job.on)
    async def logging(job: Step, ctx: Context) -> None:
        bound.append(dict(merge_log_context(None, "info", {})))
        ctx.log.info("hello")
        raise Reject("done")

    async with open_site(logging) as site:
        site.start()
        job = await site.client.submit("logging", Step())
        await site.ended(job.id)
        assert bound == [{"job": job.id, "type": "logging", "key": "k", "token": 3, "attempt": 1}]
        assert site.witness.lines("hello")
        assert merge_log_context(None, "info", {}) == {}
