"""One call is lost, or its reply is, or it arrives twice, at each point where a worker talks to a plane."""

from __future__ import annotations

from datetime import timedelta

import pytest

from jobkit import Context, Reject, Retry, RetryPolicy, processor
from tests.faults.doubles import Fault, lost_reply, lost_request, sent_twice, slow_reply
from tests.steps import Step, loose, step
from tests.virtual_site import in_virtual_time, open_site

CALLS = [
    "broker.receive",
    "broker.ack",
    "coordinator.claim",
    "coordinator.release",
    "coordinator.heartbeat",
    "coordinator.leases",
    "store.open",
    "store.commit",
    "store.shelved",
    "store.published",
]
FAULTS = {"request lost": lost_request, "reply lost": lost_reply, "slow reply": slow_reply(0.5)}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
@pytest.mark.parametrize("operation", CALLS)
@in_virtual_time
async def test_one_lost_call_neither_loses_nor_repeats_a_job(operation: str, fault: Fault) -> None:
    """nothing-lost, single-effect, order."""
    async with open_site(step, loose) as site:
        site.start()
        await site.until(lambda: site.faults.calls["broker.consume"] == 4)
        site.faults.once(operation, fault, fault)
        ids = []
        for number in range(1, 4):
            ids.append((await site.client.submit("step", Step(number=number))).id)
            ids.append((await site.client.submit("loose", Step(number=number))).id)
        for id in ids:
            assert (await site.ended(id)).state == "committed"
        assert await site.log("step", "k") == [f'{{"number":{number}}}' for number in range(1, 4)]
        assert sorted(await site.log("loose", "k")) == [f'{{"number":{number}}}' for number in range(1, 4)]
        await site.at_rest(60)


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
@pytest.mark.parametrize(
    "operation", ["broker.consume", "coordinator.claim", "coordinator.heartbeat", "coordinator.leases"]
)
@in_virtual_time
async def test_a_worker_whose_first_calls_are_lost_works_all_the_same(operation: str, fault: Fault) -> None:
    """nothing-lost: and no partition stays without a leader."""
    async with open_site(step) as site:
        site.faults.once(operation, *[fault] * 3)
        site.start()
        for on in ("k", "l", "m", "n"):
            job = await site.client.submit("step", Step(on=on))
            assert (await site.ended(job.id)).state == "committed"
        assert set((await site.leaders()).values()) == {"a"}
        assert len(await site.leaders()) == site.settings.partitions
        await site.at_rest(60)


@pytest.mark.parametrize("operation", ["store.open", "store.commit", "coordinator.claim", "coordinator.release"])
@in_virtual_time
async def test_a_request_that_arrives_twice_counts_once(operation: str) -> None:
    """single-effect."""
    async with open_site(step) as site:
        site.start()
        site.faults.always(operation, sent_twice)
        jobs = [await site.client.submit("step", Step(number=number)) for number in range(1, 4)]
        for job in jobs:
            assert (await site.ended(job.id)).state == "committed"
        assert await site.log("step", "k") == [f'{{"number":{number}}}' for number in range(1, 4)]
        assert [(await site.ended(job.id)).opens for job in jobs] == [1, 1, 1]
        await site.at_rest()


ONE_SECOND = RetryPolicy(max_attempts=3, initial=timedelta(seconds=1), jitter=0)


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("operation", ["store.fail", "store.bury", "broker.delay"])
@pytest.mark.parametrize("fault", [lost_request, lost_reply], ids=["request lost", "reply lost"])
@in_virtual_time
async def test_a_lost_call_about_a_failure_grants_no_attempt_more(fault: Fault, operation: str, ordered: bool) -> None:
    """bounded: a job is dead-lettered once, after as many recorded attempts as its policy allows."""
    runs = 0

    @processor("hopeless", key=lambda job: job.on, ordered=ordered, retry=ONE_SECOND)
    async def hopeless(job: Step, ctx: Context) -> None:
        nonlocal runs
        runs += 1
        raise Retry("never")

    async with open_site(hopeless) as site:
        site.start()
        site.faults.once(operation, fault)
        job = await site.client.submit("hopeless", Step())
        record = await site.ended(job.id)
        assert record.state == "dead"
        assert [failure.attempt for failure in record.failures] == [1, 2, 3]
        # A failure whose request was lost is not recorded, so that its attempt is made again.
        assert runs == (4 if (operation, fault) == ("store.fail", lost_request) else 3)
        assert await site.reasons() == ["Retry after 3 attempts: never"]
        await site.at_rest(60)


@pytest.mark.parametrize("fault", [lost_request, lost_reply], ids=["request lost", "reply lost"])
@in_virtual_time
async def test_a_lost_burial_of_a_rejected_job_leaves_one_dead_letter(fault: Fault) -> None:
    """nothing-lost: `bury` is asked for again."""

    @processor("rejecting", key=lambda job: job.on, ordered=True)
    async def rejecting(job: Step, ctx: Context) -> None:
        raise Reject("no")

    async with open_site(rejecting) as site:
        site.start()
        site.faults.once("store.bury", fault)
        job = await site.client.submit("rejecting", Step())
        assert (await site.ended(job.id)).state == "dead"
        assert len(await site.reasons()) == 1
        await site.at_rest(60)
