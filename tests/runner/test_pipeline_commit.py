"""One job at its commit: doubt, refusal and conflict, and what is written of failures."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from jobkit import Context, Reject, Retry, processor
from jobkit.runner.outcome import Outbid
from tests.faults.doubles import before, lost_reply, lost_request
from tests.runner.pipeline_bench import open_bench, receipt_of
from tests.steps import Step, loose
from tests.virtual_site import in_virtual_time


@pytest.mark.parametrize("faults", [[lost_request] * 3, [lost_reply] * 3, [lost_reply, lost_request]], ids=len)
@in_virtual_time
async def test_a_commit_in_doubt_is_asked_again_while_the_lease_lives(faults: list[Any]) -> None:
    """single-effect: doubt means asking again, and the store makes that safe."""
    async with open_bench() as bench:
        job = await bench.job("step")
        bench.faults.once("store.commit", *faults)
        assert receipt_of(await bench.run(job)) == "committed"
        assert len(await bench.planes.inspection.log("step", "k")) == 1
        assert bench.faults.calls["store.open"] == 1
        assert bench.witness.count("jobkit.connections.lost", {"plane": "store"}) == len(faults)


@in_virtual_time
async def test_a_commit_in_doubt_until_the_lease_ends_is_neither_acked_nor_rejected() -> None:
    """Doubt means redelivery: and that finds what had been committed after all."""
    async with open_bench() as bench:
        job = await bench.job("step")
        bench.faults.always("coordinator.renew", lost_request)
        bench.faults.always("store.commit", lost_reply)
        assert isinstance(await bench.run(job), Outbid)
        bench.faults.heal()
        await anyio.sleep(15)
        assert receipt_of(await bench.run(job)) == "duplicate"
        assert len(await bench.planes.inspection.log("step", "k")) == 1


@in_virtual_time
async def test_the_store_refuses_the_commit_of_who_was_overtaken() -> None:
    """fencing, loud."""
    overtaken = False

    @processor("loose", key=lambda job: job.on)
    async def slow(job: Step, ctx: Context) -> str:
        nonlocal overtaken
        if not overtaken:
            overtaken = True
            await bench.usurp()
        return ctx.fence.owner

    async with open_bench(slow) as bench:
        job = await bench.job("loose")
        outcome = await bench.run(job)
        assert isinstance(outcome, Outbid)
        assert await bench.state(job) != "committed"
        (line,) = bench.witness.lines("stale write refused")
        assert (line["doing"], line["token"], line["mark"], line["log_level"]) == ("commit", 1, 100, "error")
        assert bench.witness.count("jobkit.stale_writes", {"doing": "commit"}) == 1
        assert receipt_of(await bench.run(job)) == "committed"


@pytest.mark.parametrize(("error", "refused"), [(Retry("x"), "fail"), (Reject("x"), "fail")])
@in_virtual_time
async def test_the_store_refuses_the_failures_of_who_was_overtaken(error: Exception, refused: str) -> None:
    """fencing."""

    @processor("loose", key=lambda job: job.on)
    async def failing(job: Step, ctx: Context) -> None:
        await bench.usurp()
        raise error

    async with open_bench(failing) as bench:
        job = await bench.job("loose")
        assert isinstance(await bench.run(job), Outbid)
        assert bench.witness.count("jobkit.stale_writes", {"doing": refused}) == 1
        assert await bench.planes.inspection.dead() == []


@in_virtual_time
async def test_the_store_refuses_the_burial_by_who_was_overtaken() -> None:
    """fencing."""

    @processor("loose", key=lambda job: job.on)
    async def refusing(job: Step, ctx: Context) -> None:
        raise Reject("no")

    async with open_bench(refusing) as bench:
        job = await bench.job("loose")
        bench.faults.once("store.bury", before(bench.usurp))
        assert isinstance(await bench.run(job), Outbid)
        assert bench.witness.count("jobkit.stale_writes", {"doing": "bury"}) == 1
        assert await bench.planes.inspection.dead() == []


@in_virtual_time
async def test_a_follow_up_whose_id_is_taken_buries_the_job() -> None:
    """single-effect: the same id with another body is an error, never a silent drop."""

    @processor("parent", key=lambda job: job.on)
    async def parent(job: Step, ctx: Context) -> None:
        ctx.append("ran", {})
        ctx.submit("loose", Step(number=2), id="taken")

    async with open_bench(parent, loose) as bench:
        await bench.job("loose", Step(number=1), id="taken")
        job = await bench.job("parent")
        assert receipt_of(await bench.run(job)) == "dead"
        (letter,) = await bench.planes.inspection.dead()
        assert letter.reason.startswith("conflicting follow-up: ")
        assert "taken" in letter.reason
        assert await bench.planes.inspection.log("parent", "k") == []


@in_virtual_time
async def test_what_a_commit_released_is_handed_to_the_relay() -> None:
    @processor("parent", key=lambda job: job.on)
    async def parent(job: Step, ctx: Context) -> None:
        ctx.submit("loose", Step())

    async with open_bench(parent, loose) as bench:
        await bench.run(await bench.job("parent"))
        assert [entry.envelope.type for entry in bench.sweeper._handed] == ["loose"]
