"""One job from claim to release: each stage's outcomes but those of the commit."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import anyio
import pytest

from jobkit import Context, Retry, RetryPolicy, processor
from jobkit.errors import LeaseLost, Unavailable
from jobkit.model.envelope import Envelope
from jobkit.model.fence import Fence
from jobkit.ports.coordinator import LeaseRef
from jobkit.ports.inspection import JobState
from jobkit.runner.outcome import Ahead, Outbid, TryAgain
from tests.faults.doubles import after, before, lost_request
from tests.runner.pipeline_bench import SOMEBODY, open_bench, receipt_of
from tests.steps import Step
from tests.virtual_site import in_virtual_time

# ---- the ordinary way ----------------------------------------------------------------------------------------------


@in_virtual_time
async def test_a_job_goes_from_claim_to_release_in_this_order() -> None:
    async with open_bench() as bench:
        job = await bench.job("step")
        calls: list[str] = []
        for operation in ("coordinator.claim", "store.open", "store.commit", "coordinator.release"):
            bench.faults.once(operation, before(_noting(calls, operation)))
        assert receipt_of(await bench.run(job)) == "committed"
        assert calls == ["coordinator.claim", "store.open", "store.commit", "coordinator.release"]
        assert bench.working == [False, True, True]


def _noting(calls: list[str], operation: str) -> Callable[[], Awaitable[None]]:
    async def note() -> None:
        calls.append(operation)

    return note


@in_virtual_time
async def test_a_job_that_has_ended_is_settled_without_running() -> None:
    """single-effect."""
    async with open_bench() as bench:
        job = await bench.job("step")
        await bench.run(job)
        assert receipt_of(await bench.run(job)) == "duplicate"
        assert len(await bench.planes.inspection.log("step", "k")) == 1
        assert bench.witness.count("jobkit.duplicates") == 1


@in_virtual_time
async def test_a_job_ahead_of_its_sequence_does_not_run() -> None:
    """order."""
    async with open_bench() as bench:
        first, second = await bench.job("step"), await bench.job("step")
        assert await bench.run(second) == Ahead(1, blocked=False)
        await bench.run(first)
        assert receipt_of(await bench.run(second)) == "committed"


# ---- claim ---------------------------------------------------------------------------------------------------------


@in_virtual_time
async def test_a_lease_that_somebody_holds_is_waited_for_without_a_slot() -> None:
    """no-lease-no-work."""
    async with open_bench(slots=1) as bench:
        held, free = await bench.job("loose", Step(on="held")), await bench.job("loose", Step(on="free"))
        await bench.hold("loose/held", 20)
        started = bench.clock.now()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(bench.run, held)
            await anyio.sleep(1)
            assert bench.working[-1] is False
            await bench.run(free)
            assert bench.clock.now() - started == 1
        assert 20 <= bench.clock.now() - started < 21
        assert await bench.state(held) == "committed"


@in_virtual_time
async def test_a_released_lease_is_noticed_at_once() -> None:
    async with open_bench() as bench:
        job = await bench.job("loose")
        await bench.hold("loose/k", 50)
        (lease,) = await bench.planes.coordinator.leases()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(bench.run, job)
            await anyio.sleep(5)
            await bench.planes.coordinator.release(LeaseRef(lease.resource, lease.token, "n"))
            await anyio.sleep(0.1)
            assert await bench.state(job) == "committed"


@pytest.mark.parametrize(("type", "requeue"), [("step", False), ("loose", True)])
@in_virtual_time
async def test_a_wait_for_a_lease_that_takes_too_long_is_loud_and_starts_again(type: str, requeue: bool) -> None:
    """no-lease-no-work: the incident's K2. An ordered job keeps its place."""
    async with open_bench(claim_wait=60) as bench:
        job = await bench.job(type)
        await bench.hold(f"{type}/k", 70)
        started = bench.clock.now()
        outcome = await bench.run(job)
        assert isinstance(outcome, TryAgain)
        assert outcome.requeue is requeue
        assert 60 <= bench.clock.now() - started < 61
        assert await bench.state(job) == "queued"
        assert bench.witness.count("jobkit.claims", {"outcome": "timeout"}) == 1
        assert bench.witness.lines("lease still held by another worker")[0]["holder"] == SOMEBODY
        await anyio.sleep(15)


@in_virtual_time
async def test_the_wait_for_a_slot_is_no_wait_for_a_lease() -> None:
    """A worker that is busy for long must not report a lock timeout at the first sight of a held lease."""
    async with open_bench(slots=1, claim_wait=60) as bench:
        long, short = await bench.job("loose", Step(on="long", seconds=200)), await bench.job("loose")
        await bench.hold("loose/k", 210)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(bench.run, long)
            await anyio.sleep(1)
            assert receipt_of(await bench.run(short)) == "committed"
        assert bench.witness.count("jobkit.claims", {"outcome": "timeout"}) == 0


@in_virtual_time
async def test_a_claim_without_an_answer_leaves_the_job_alone() -> None:
    async with open_bench() as bench:
        job = await bench.job("step")
        bench.faults.always("coordinator.claim", lost_request)
        with pytest.raises(Unavailable):
            await bench.run(job)
        assert await bench.state(job) == "queued"
        assert bench.faults.calls["store.open"] == 0


# ---- open ----------------------------------------------------------------------------------------------------------


@in_virtual_time
async def test_a_token_that_the_store_has_seen_passed_is_claimed_again_above_it() -> None:
    """fencing: the coordinator lost its data and counts from one again."""
    async with open_bench() as bench:
        job = await bench.job("loose")
        await bench.usurp(100)
        assert receipt_of(await bench.run(job)) == "committed"
        record = await bench.planes.inspection.job(job.envelope.id)
        assert record is not None
        assert (record.token, record.opens) == (101, 1)
        assert bench.faults.calls["coordinator.claim"] == 2
        assert bench.faults.calls["coordinator.release"] == 2
        (line,) = bench.witness.lines("token below the store's mark, claiming again")
        assert (line["token"], line["mark"]) == (1, 100)
        assert bench.witness.count("jobkit.stale_writes", {"doing": "open"}) == 1


@in_virtual_time
async def test_an_equal_token_with_another_nonce_is_claimed_again_too() -> None:
    """fencing: two holders of one number, after the coordinator lost its data."""
    async with open_bench() as bench:
        job = await bench.job("loose")
        await bench.usurp(1)
        assert receipt_of(await bench.run(job)) == "committed"
        record = await bench.planes.inspection.job(job.envelope.id)
        assert record is not None
        assert record.token == 2


@in_virtual_time
async def test_the_same_id_with_another_body_is_buried_as_a_message() -> None:
    async with open_bench() as bench:
        job = await bench.job("loose", Step(number=1), id="x")
        other = bench.decoded(Envelope("x", "loose", Step(number=2).model_dump_json().encode(), key="k"))
        assert receipt_of(await bench.run(other)) == "dead"
        assert await bench.state(job) == "queued"
        (letter,) = await bench.planes.inspection.dead()
        assert letter.reason == "conflicting id"


# ---- process -------------------------------------------------------------------------------------------------------


@in_virtual_time
async def test_a_lost_lease_cancels_the_processor_and_nothing_is_committed() -> None:
    """no-lease-no-work."""
    cancelled_at: list[float] = []

    @processor("long", key=lambda job: job.on)
    async def long(job: Step, ctx: Context) -> None:
        try:
            await ctx.clock.sleep(1_000)
        finally:
            cancelled_at.append(ctx.clock.now())

    async with open_bench(long) as bench:
        job = await bench.job("long")
        bench.faults.always("coordinator.renew", lost_request)
        started = bench.clock.now()
        outcome = await bench.run(job)
        assert isinstance(outcome, Outbid)
        assert cancelled_at[0] - started < 15
        assert await bench.state(job) == "running"
        assert bench.faults.calls["store.commit"] == bench.faults.calls["store.fail"] == 0
        assert bench.witness.lines("attempt interrupted, it does not count")
        (span,) = [span for span in bench.witness.spans if span.name == "process long"]
        assert [event.name for event in span.events] == ["lease lost"]
        await anyio.sleep(15)


@in_virtual_time
async def test_a_processor_that_swallows_its_cancellation_writes_nothing() -> None:
    """no-lease-no-work: the clock is looked at before each write."""

    @processor("stubborn", key=lambda job: job.on)
    async def stubborn(job: Step, ctx: Context) -> str:
        try:
            await ctx.clock.sleep(1_000)
        except anyio.get_cancelled_exc_class():
            pass
        return "I did it all the same"

    async with open_bench(stubborn) as bench:
        job = await bench.job("stubborn")
        bench.faults.always("coordinator.renew", lost_request)
        assert isinstance(await bench.run(job), Outbid)
        assert bench.faults.calls["store.commit"] == 0
        await anyio.sleep(15)


@in_virtual_time
async def test_progress_tells_a_processor_that_it_was_overtaken() -> None:
    """fencing."""
    told: list[str] = []

    @processor("loose", key=lambda job: job.on)
    async def reporting(job: Step, ctx: Context) -> None:
        if len(told) == 0:
            await bench.usurp()
        try:
            await ctx.progress(0.5, "half")
        except LeaseLost as error:
            told.append(str(error))
            raise

    async with open_bench(reporting) as bench:
        job = await bench.job("loose")
        outcome = await bench.run(job)
        assert isinstance(outcome, Outbid)
        assert "taken over by a newer lease" in told[0]
        assert bench.faults.calls["store.fail"] == 0, "it is no failure of the job"
        assert receipt_of(await bench.run(job)) == "committed"


@in_virtual_time
async def test_an_unordered_failure_is_requeued_and_an_ordered_one_retried_in_place() -> None:
    policy = RetryPolicy(jitter=0, initial=timedelta(seconds=10))

    @processor("loose", key=lambda job: job.on, retry=policy)
    async def failing(job: Step, ctx: Context) -> None:
        if ctx.job.attempt == 1:
            raise Retry

    @processor("step", key=lambda job: job.on, retry=policy, ordered=True)
    async def failing_in_order(job: Step, ctx: Context) -> None:
        if ctx.job.attempt == 1:
            raise Retry

    async with open_bench(failing, failing_in_order) as bench:
        unordered, ordered = await bench.job("loose"), await bench.job("step")
        assert await bench.run(unordered) == TryAgain(10, requeue=True)
        started = bench.clock.now()
        assert receipt_of(await bench.run(ordered)) == "committed"
        assert bench.clock.now() - started == 10
        assert bench.faults.calls["coordinator.claim"] == 2


@pytest.mark.parametrize("ordered", [False, True])
@in_virtual_time
async def test_a_job_that_waits_for_its_retry_is_not_shown_as_running(ordered: bool) -> None:
    seen: list[JobState] = []
    policy = RetryPolicy(jitter=0, initial=timedelta(seconds=10))

    @processor("step", key=lambda job: job.on, retry=policy, ordered=ordered)
    async def failing(job: Step, ctx: Context) -> None:
        await look()
        if ctx.job.attempt == 1:
            raise Retry

    async with open_bench(failing) as bench:
        job = await bench.job("step")

        async def look() -> None:
            record = await bench.planes.inspection.job(job.envelope.id)
            assert record
            seen.append(record.state)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(bench.run, job)
            await bench.clock.sleep(5)
            await look()
        if not ordered:
            await bench.clock.sleep(5)
            await bench.run(job)
        await look()
    assert seen == [JobState.RUNNING, JobState.QUEUED, JobState.RUNNING, JobState.COMMITTED]


@in_virtual_time
async def test_a_result_that_is_no_json_fails_the_attempt() -> None:
    @processor("loose", key=lambda job: job.on, retry=RetryPolicy(max_attempts=1))
    async def opaque(job: Step, ctx: Context) -> Any:
        return object()

    async with open_bench(opaque) as bench:
        assert receipt_of(await bench.run(await bench.job("loose"))) == "dead"
        (letter,) = await bench.planes.inspection.dead()
        assert "cannot be written as JSON" in letter.reason


# ---- release -------------------------------------------------------------------------------------------------------


@in_virtual_time
async def test_a_release_that_hangs_holds_up_neither_the_outcome_nor_a_cancellation_for_long() -> None:
    async with open_bench() as bench:
        job = await bench.job("step")
        bench.faults.once("coordinator.release", after(anyio.sleep_forever))
        started = bench.clock.now()
        assert receipt_of(await bench.run(job)) == "committed"
        assert bench.clock.now() - started <= 2


@in_virtual_time
async def test_a_cancelled_run_gives_its_lease_and_its_slot_back() -> None:
    async with open_bench(slots=1) as bench:
        job = await bench.job("loose", Step(seconds=100))
        with anyio.move_on_after(5):
            await bench.run(job)
        assert await bench.planes.coordinator.leases() == []
        other = await bench.job("loose", Step(on="other"))
        with anyio.fail_after(1):
            await bench.run(other)


# ---- poison --------------------------------------------------------------------------------------------------------


@in_virtual_time
async def test_failures_do_not_make_a_job_poison() -> None:
    @processor("loose", key=lambda job: job.on, retry=RetryPolicy(max_attempts=10))
    async def failing(job: Step, ctx: Context) -> None:
        raise Retry("again")

    async with open_bench(failing, max_opens=2) as bench:
        job = await bench.job("loose")
        for _ in range(9):
            again = await bench.run(job)
            assert isinstance(again, TryAgain)
            # A delivery that comes too early is put back for what is left.
            early = await bench.run(job)
            assert isinstance(early, TryAgain)
            assert early.requeue
            assert early.seconds == pytest.approx(again.seconds)
            await bench.clock.sleep(early.seconds)
        assert receipt_of(await bench.run(job)) == "dead"
        (letter,) = await bench.planes.inspection.dead()
        assert letter.reason == "Retry after 10 attempts: again"


@in_virtual_time
async def test_a_job_opened_too_often_is_buried_without_running_again() -> None:
    """bounded."""
    async with open_bench(max_opens=2) as bench:
        job = await bench.job("loose")
        for token in (1, 2):
            await bench.planes.store.open(job.envelope, Fence(token, f"n{token}", f"dead worker {token}"))
        assert receipt_of(await bench.run(job)) == "dead"
        (letter,) = await bench.planes.inspection.dead()
        assert letter.reason == "poison: 2 of its starts ended with their workers"
        assert await bench.planes.inspection.log("loose", "k") == []
