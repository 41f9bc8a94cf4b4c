"""A whole worker in virtual time: attempts that fail."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta

import anyio
import pytest

from jobkit import Context, Reject, Retry, RetryPolicy, processor
from jobkit.errors import Unavailable
from tests.faults.doubles import Faults, lost_request
from tests.steps import Step
from tests.virtual_site import Site, in_virtual_time, open_site

QUICK = RetryPolicy(max_attempts=3, initial=timedelta(seconds=10), factor=1, jitter=0)


@in_virtual_time
async def test_an_ordered_job_is_retried_in_place_and_nothing_overtakes_it() -> None:
    """order: the lane waits, under one lease."""
    starts: list[tuple[int, int, float]] = []

    @processor("flaky", key=lambda job: job.on, ordered=True, retry=QUICK)
    async def flaky(job: Step, ctx: Context) -> None:
        starts.append((job.number, ctx.fence.token, ctx.clock.now()))
        if job.number == 1 and ctx.job.attempt < 3:
            raise Retry("not yet")
        ctx.append("ran", {"number": job.number})

    async with open_site(flaky) as site:
        site.start()
        jobs = [await site.client.submit("flaky", Step(number=number)) for number in (1, 2)]
        records = [await site.ended(job.id) for job in jobs]
        assert [number for number, _, _ in starts] == [1, 1, 1, 2]
        assert len({token for number, token, _ in starts if number == 1}) == 1
        first, second, third, _ = [at for _, _, at in starts]
        assert second - first >= 10
        assert third - second >= 10
        assert [failure.error for failure in records[0].failures] == ["Retry: not yet", "Retry: not yet"]
        assert await site.log("flaky", "k") == ['{"number":1}', '{"number":2}']
        assert site.witness.count("jobkit.attempts.failed") == 2


@in_virtual_time
async def test_an_unordered_job_is_retried_by_delay_and_others_go_first() -> None:
    starts: list[tuple[int, float]] = []

    @processor("flaky", key=lambda job: job.on, retry=QUICK)
    async def flaky(job: Step, ctx: Context) -> None:
        starts.append((job.number, ctx.clock.now()))
        if job.number == 1 and ctx.job.attempt == 1:
            raise ValueError("once")

    async with open_site(flaky) as site:
        site.start()
        jobs = [await site.client.submit("flaky", Step(number=number)) for number in (1, 2)]
        for job in jobs:
            assert (await site.ended(job.id)).state == "committed"
        assert [number for number, _ in starts] == [1, 2, 1]
        assert starts[2][1] - starts[0][1] >= 10


@in_virtual_time
async def test_a_waiting_retry_lends_its_slot_to_others() -> None:
    @processor("flaky", key=lambda job: job.on, ordered=True, retry=QUICK)
    async def flaky(job: Step, ctx: Context) -> None:
        if job.on == "bad" and ctx.job.attempt == 1:
            raise Retry("later")

    async with open_site(flaky, concurrency=1) as site:
        site.start()
        bad = await site.client.submit("flaky", Step(on="bad"))
        await site.until(lambda: site.witness.count("jobkit.attempts.failed") == 1)
        started = site.clock.now()
        good = await site.client.submit("flaky", Step(on="good"))
        await site.ended(good.id)
        assert site.clock.now() - started < 1
        assert (await site.ended(bad.id)).state == "committed"


@pytest.mark.parametrize("ordered", [True, False])
@in_virtual_time
async def test_after_its_last_attempt_a_job_is_a_dead_letter_with_its_history(ordered: bool) -> None:
    @processor("hopeless", key=lambda job: job.on, ordered=ordered, retry=QUICK)
    async def hopeless(job: Step, ctx: Context) -> None:
        raise ValueError(f"attempt {ctx.job.attempt}")

    async with open_site(hopeless) as site:
        site.start()
        job = await site.client.submit("hopeless", Step())
        assert (await site.ended(job.id)).state == "dead"
        (letter,) = await site.planes.inspection.dead()
        assert letter.reason == "ValueError after 3 attempts: attempt 3"
        assert [failure.error for failure in letter.failures] == [f"ValueError: attempt {n}" for n in (1, 2, 3)]
        assert "in hopeless" in letter.detail
        assert letter.raw == Step().model_dump_json().encode()
        await site.at_rest()


@in_virtual_time
async def test_a_policy_with_more_attempts_than_the_store_remembers_still_ends() -> None:
    """bounded."""
    often = RetryPolicy(max_attempts=30, initial=timedelta(seconds=1), factor=1)

    @processor("hopeless", key=lambda job: job.on, retry=often)
    async def hopeless(job: Step, ctx: Context) -> None:
        raise Retry("no")

    async with open_site(hopeless) as site:
        site.start()
        job = await site.client.submit("hopeless", Step())
        assert (await site.ended(job.id)).state == "dead"
        assert await site.reasons() == ["Retry after 30 attempts: no"]


@in_virtual_time
async def test_a_rejected_job_is_dead_at_once_and_its_key_stands_still_until_it_is_requeued() -> None:
    """order: what comes after a dead letter is parked, not skipped."""
    refuse = True

    @processor("refusing", key=lambda job: job.on, ordered=True)
    async def refusing(job: Step, ctx: Context) -> None:
        if refuse and job.number == 1:
            raise Reject("bad input")
        ctx.append("ran", {"number": job.number})

    async with open_site(refusing) as site:
        site.start()
        jobs = [await site.client.submit("refusing", Step(number=number)) for number in (1, 2, 3)]
        assert [(await site.ended(job.id)).state for job in jobs] == ["dead", "parked", "parked"]
        (letter,) = await site.planes.inspection.dead()
        assert (letter.reason, len(letter.failures)) == ("rejected: bad input", 1)
        (gap,) = await site.planes.inspection.gaps()
        assert (gap.expected, gap.parked) == (1, 2)
        refuse = False
        await site.planes.inspection.requeue_dead(letter.number)
        for job in jobs:
            await site.until(lambda job=job: _is(site, job.id, "committed"))  # type: ignore[misc]
        assert await site.log("refusing", "k") == [f'{{"number":{number}}}' for number in (1, 2, 3)]
        await site.at_rest()


async def _is(site: Site, id: str, state: str) -> bool:
    return (await site.client.status(id)).state == state


@in_virtual_time
async def test_an_attempt_that_takes_too_long_is_cancelled_and_counts_as_failed() -> None:
    cleaned_up = False

    @processor("endless", key=lambda job: job.on, timeout=timedelta(seconds=30), retry=RetryPolicy(max_attempts=1))
    async def endless(job: Step, ctx: Context) -> None:
        nonlocal cleaned_up
        try:
            await anyio.sleep_forever()
        finally:
            cleaned_up = True

    async with open_site(endless) as site:
        site.start()
        job = await site.client.submit("endless", Step())
        assert (await site.ended(job.id)).state == "dead"
        assert cleaned_up
        assert await site.reasons() == [
            "TimeoutError after 1 attempt: the attempt took longer than the processor's timeout of 30 s"
        ]


@in_virtual_time
async def test_a_processor_that_awaits_something_cancelled_has_failed() -> None:
    """nothing-lost: an inner CancelledError must not end the lane in silence."""

    @processor("careless", key=lambda job: job.on, ordered=True, retry=RetryPolicy(max_attempts=1))
    async def careless(job: Step, ctx: Context) -> None:
        inner = asyncio.create_task(asyncio.sleep(60))
        await asyncio.sleep(0)
        inner.cancel()
        await inner

    async with open_site(careless) as site:
        site.start()
        job = await site.client.submit("careless", Step())
        assert (await site.ended(job.id)).state == "dead"
        assert await site.reasons() == [
            "RuntimeError after 1 attempt: the processor awaited something of its own that was cancelled"
        ]
        await site.at_rest()


@in_virtual_time
async def test_what_an_error_says_is_kept_whatever_characters_it_has() -> None:
    """nothing-lost: a dead letter that no backend can store would be tried for ever."""

    @processor("odd", key=lambda job: job.on, retry=RetryPolicy(max_attempts=1))
    async def odd(job: Step, ctx: Context) -> None:
        raise ValueError("no such file: caf\udce9\0" + "x" * 100_000)

    async with open_site(odd) as site:
        site.start()
        job = await site.client.submit("odd", Step())
        assert (await site.ended(job.id)).state == "dead"
        (reason,) = await site.reasons()
        assert reason.startswith(r"ValueError after 1 attempt: no such file: caf\udce9\0xxx")
        assert len(reason) < 3_000


@in_virtual_time
async def test_trouble_with_a_backend_inside_a_task_group_is_no_failure_of_the_job() -> None:
    runs = 0

    async def out_of_reach() -> None:
        if runs == 1:
            raise Unavailable("store", "for a moment")

    @processor("grouped", key=lambda job: job.on, retry=RetryPolicy(max_attempts=1))
    async def grouped(job: Step, ctx: Context) -> None:
        nonlocal runs
        runs += 1
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(out_of_reach)

    async with open_site(grouped) as site:
        site.start()
        job = await site.client.submit("grouped", Step())
        record = await site.ended(job.id)
        assert (record.state, record.failures, runs) == ("committed", (), 2)


@in_virtual_time
async def test_a_job_that_takes_its_workers_down_is_poison() -> None:
    """bounded: started, and neither ended nor failed, more often than allowed; nobody lived to report it."""
    starts = 0

    @processor("deadly", key=lambda job: job.on)
    async def deadly(job: Step, ctx: Context) -> None:
        nonlocal starts
        starts += 1
        started.set()
        await anyio.sleep_forever()

    async with open_site(deadly, max_opens=3) as site:
        job = await site.client.submit("deadly", Step())
        for number in range(3):
            started = anyio.Event()
            worker = site.start(f"victim-{number}", faults=Faults(site.clock))
            await started.wait()
            await worker.crash()
        site.start("survivor", faults=Faults(site.clock))
        record = await site.ended(job.id)
        assert (record.state, starts) == ("dead", 3)
        assert await site.reasons() == ["poison: 3 of its starts ended with their workers"]
        await site.at_rest()


@in_virtual_time
async def test_workers_that_live_to_be_stopped_do_not_make_a_job_poison() -> None:
    """Only what the job did counts: a drain that runs out of time is not the job's doing."""
    starts = 0

    @processor("long", key=lambda job: job.on)
    async def long(job: Step, ctx: Context) -> None:
        nonlocal starts
        starts += 1
        if starts <= 4:
            started.set()
            await anyio.sleep_forever()

    async with open_site(long, max_opens=2) as site:
        job = await site.client.submit("long", Step())
        for number in range(4):
            started = anyio.Event()
            worker = site.start(f"stopped-{number}")
            await started.wait()
            worker.worker.stop()
            await worker.ended.wait()
        site.start("last")
        record = await site.ended(job.id)
        assert (record.state, record.opens) == ("committed", 5)
        assert site.witness.count("jobkit.attempts.interrupted") == 4


@in_virtual_time
async def test_a_job_that_takes_its_workers_down_takes_no_neighbour_along() -> None:
    """Suspects run alone before anybody is buried, so the innocent one beside the deadly one commits."""
    runs: Counter[str] = Counter()

    @processor("mixed", key=lambda job: job.on)
    async def mixed(job: Step, ctx: Context) -> None:
        runs[job.on] += 1
        if job.on == "deadly":
            # Long enough for whatever may run beside it to have begun.
            await ctx.clock.sleep(1)
            started.set()
            await anyio.sleep_forever()
        await ctx.clock.sleep(30)

    async with open_site(mixed, max_opens=4, partitions=1) as site:
        jobs = [await site.client.submit("mixed", Step(on=key)) for key in ("deadly", "innocent")]
        for number in range(4):
            started = anyio.Event()
            worker = site.start(f"victim-{number}", faults=Faults(site.clock))
            await started.wait()
            await worker.crash()
        site.start("survivor", faults=Faults(site.clock))
        states = [(await site.ended(job.id)).state for job in jobs]
        assert states == ["dead", "committed"]
        assert runs["deadly"] == 4
        await site.at_rest()


@pytest.mark.parametrize("ordered", [True, False], ids=["ordered", "unordered"])
@pytest.mark.parametrize("ending", ["drain", "stop", "crash", "lease lost"])
@in_virtual_time
async def test_a_retry_waits_as_long_as_it_was_told_whoever_comes_to_run_it(ordered: bool, ending: str) -> None:
    """The delay is kept by the store's clock, not in the worker that met the failure."""
    runs: list[float] = []

    @processor("patient", key=lambda job: job.on, ordered=ordered)
    async def patient(job: Step, ctx: Context) -> None:
        runs.append(ctx.clock.now())
        if len(runs) == 1:
            raise Retry("not now", after=timedelta(seconds=600))

    # Held for so short a time, the unordered one is in the in-flight table, where no broker delays it.
    async with open_site(patient, partitions=1, delivery_hold=5) as site:
        faults = Faults(site.clock)
        first = site.start("first", faults=faults)
        job = await site.client.submit("patient", Step())
        await site.until(lambda: site.witness.count("jobkit.attempts.failed") == 1)
        await site.clock.sleep(10)
        match ending:
            case "drain":
                before = site.clock.now()
                await first.drain()
                # It need not be waited for.
                assert site.clock.now() - before < 5
            case "stop":
                first.worker.stop()
                await first.ended.wait()
            case "crash":
                await first.crash()
            case "lease lost":
                faults.always("coordinator.*", lost_request)
                await site.clock.sleep(30)
                faults.heal()
        site.start("second", faults=Faults(site.clock))
        assert (await site.ended(job.id, 900)).state == "committed"
        assert 600 <= runs[1] - runs[0] < 640
        assert len(runs) == 2
        await site.at_rest()


@in_virtual_time
async def test_a_dead_letter_that_is_requeued_runs_with_a_fresh_count_of_attempts() -> None:
    fail = True

    @processor("flaky", key=lambda job: job.on, retry=QUICK)
    async def flaky(job: Step, ctx: Context) -> int:
        if fail:
            raise Retry("no")
        return ctx.job.attempt

    async with open_site(flaky) as site:
        site.start()
        job = await site.client.submit("flaky", Step())
        assert (await site.ended(job.id)).state == "dead"
        fail = False
        (letter,) = await site.planes.inspection.dead()
        assert await site.planes.inspection.requeue_dead(letter.number) is not None
        await site.until(lambda: _is(site, job.id, "committed"))
        assert (await site.client.status(job.id)).result == b"1"
        assert await site.reasons() == []
