"""Split brain: each kind of evidence is told within a second, with both workers by name, and nothing else is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import anyio
import pytest

from jobkit import Context, processor
from jobkit.errors import ConsumerClosed
from jobkit.model.fence import Fence
from jobkit.ports.store import Stale
from jobkit.runner.outcome import Outbid
from jobkit.runner.split_brain import SplitBrainWatch
from tests.faults.doubles import before, hanging, lost_request
from tests.runner.pipeline_bench import SOMEBODY, Bench, open_bench
from tests.steps import Step, step
from tests.virtual_site import in_virtual_time, open_site

WITHIN = 1.0


async def _usurp(bench: Bench, type: str, token: int = 100) -> None:
    """Let somebody open the key under a token of their own, as happens when the coordinator forgot who holds it."""
    other = bench.registry.new_job(type, Step(number=99), id=f"other-{token}").envelope
    if type == "step":
        other = replace(other, sequence=1)
    answer = await bench.planes.store.open(other, Fence(token, "n", SOMEBODY))
    assert not isinstance(answer, Stale)


async def _told(bench: Bench) -> list[dict[str, Any]]:
    """What is told within a second of the evidence."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(bench.pipeline.split_brain.run)
        await anyio.sleep(WITHIN)
        tasks.cancel_scope.cancel()
    return bench.witness.lines("split brain")


@in_virtual_time
async def test_a_refused_commit_names_both_workers() -> None:
    async with open_bench() as bench:
        job = await bench.job("step")
        bench.faults.once("store.commit", before(lambda: _usurp(bench, "step")))
        assert isinstance(await bench.run(job), Outbid)
        (line,) = await _told(bench)
        assert (line["kind"], line["worker"], line["other"]) == ("stale_write", "me", SOMEBODY)
        assert (line["resource"], line["token"], line["mark"]) == ("step/k", 1, 100)
        assert line["effect"].startswith("refused")
        assert line["log_level"] == "error"
        assert bench.witness.count("jobkit.split_brain", {"kind": "stale_write"}) == 1


@in_virtual_time
async def test_refused_progress_is_a_stale_write_too() -> None:
    @processor("shown", key=lambda job: job.on)
    async def shown(job: Step, ctx: Context) -> None:
        await _usurp(bench, "shown")
        await ctx.progress(0.5)

    async with open_bench(shown, step) as bench:
        job = await bench.job("shown")
        assert isinstance(await bench.run(job), Outbid)
        assert bench.witness.count("jobkit.stale_writes", {"doing": "progress"}) == 1
        (line,) = await _told(bench)
        assert (line["kind"], line["other"], line["mark"]) == ("stale_write", SOMEBODY, 100)


@in_virtual_time
async def test_a_token_that_went_backwards_names_who_had_the_higher_one() -> None:
    async with open_bench() as bench:
        job = await bench.job("step")
        await _usurp(bench, "step", token=50)
        await bench.run(job)
        (line,) = await _told(bench)
        assert (line["kind"], line["worker"], line["token"], line["mark"]) == ("token_backwards", "me", 1, 50)


@in_virtual_time
async def test_a_token_granted_twice_is_told_apart() -> None:
    async with open_bench() as bench:
        job = await bench.job("step")
        await _usurp(bench, "step", token=1)
        await bench.run(job)
        assert [line["kind"] for line in await _told(bench)] == ["token_twice"]


@in_virtual_time
async def test_a_lease_lost_too_late_is_evidence_once_another_opened_the_key() -> None:
    """A worker that was stopped: it finds its lease lost, and the other at work or done."""

    @processor("long", key=lambda job: job.on)
    async def long(job: Step, ctx: Context) -> None:
        await ctx.clock.sleep(1_000)

    async with open_bench(long, step) as bench:
        job = await bench.job("long")

        async def taken_over() -> None:
            (held,) = bench.keeper._held
            await bench.planes.coordinator.release(held)
            await _usurp(bench, "long")

        bench.faults.once("coordinator.renew", before(taken_over))
        assert isinstance(await bench.run(job), Outbid)
        (line,) = await _told(bench)
        assert (line["kind"], line["worker"], line["other"]) == ("overlap", "me", SOMEBODY)


@in_virtual_time
async def test_a_lease_lost_in_time_is_no_evidence() -> None:
    @processor("long", key=lambda job: job.on)
    async def long(job: Step, ctx: Context) -> None:
        await ctx.clock.sleep(1_000)

    async with open_bench(long) as bench:
        job = await bench.job("long")
        bench.faults.always("coordinator.renew", lost_request)
        assert isinstance(await bench.run(job), Outbid)
        assert await _told(bench) == []
        await anyio.sleep(15)


@pytest.mark.parametrize("fault", [hanging, lost_request], ids=["no answer", "an error"])
def test_a_store_that_does_not_say_who_holds_up_nothing(fault: Any) -> None:
    @in_virtual_time
    async def run() -> None:
        async with open_bench() as bench:
            job = await bench.job("step")
            bench.faults.once("store.commit", before(lambda: _usurp(bench, "step")))
            bench.faults.always("store.key", fault)
            await bench.run(job)
            (line,) = await _told(bench)
            assert line["other"] == "unknown: the store did not say"

    run()


@in_virtual_time
async def test_what_is_untold_at_the_end_is_told_without_a_name() -> None:
    async with open_bench() as bench:
        job = await bench.job("step")
        bench.faults.once("store.commit", before(lambda: _usurp(bench, "step")))
        await bench.run(job)
        with anyio.CancelScope() as scope:
            scope.cancel()
            await bench.pipeline.split_brain.run()
        assert len(bench.witness.lines("split brain")) == 1


@in_virtual_time
async def test_a_flood_of_evidence_is_bounded_and_none_is_lost() -> None:
    async with open_bench() as bench:
        job = await bench.job("step")
        lease = await bench.keeper.claim("step/k")
        watch = SplitBrainWatch(bench.planes.inspection, "me", bench.clock, bench.witness.telemetry)
        for _ in range(150):
            watch.outbid(job, lease, 9)  # type: ignore[arg-type]
        assert len(bench.witness.lines("split brain")) == 50
        with anyio.move_on_after(1):
            await watch.run()
        assert bench.witness.count("jobkit.split_brain") == 150
        await bench.keeper.release(lease)  # type: ignore[arg-type]


@in_virtual_time
async def test_two_leaders_of_one_partition_are_told_by_who_took_the_consumer() -> None:
    """The coordinator forgot a leadership that its holder may still trust: the second leader opens the consumer."""
    async with open_site(step, partitions=1) as site:
        site.start("a")
        await site.until(lambda: any(led.consuming for led in site.workers[0].worker._leaderships.led))
        (led,) = site.workers[0].worker._leaderships.led
        await site.planes.coordinator.release(led._leadership.ref)
        await site.planes.coordinator.claim(led.partition.resource, owner="b", nonce="n", ttl=15)
        async with site.planes.broker.consume(led.partition, "b"):
            assert await site.until(lambda: bool(site.witness.lines("split brain"))) < WITHIN
            line = site.witness.lines("split brain")[0]
            assert (line["kind"], line["worker"], line["other"]) == ("two_leaders", "a", "b")
            assert line["resource"] == "leader/step/0"
            await site.until(lambda: bool(site.witness.lines("lease lost")))


@in_virtual_time
async def test_an_ordinary_hand_over_is_no_evidence() -> None:
    async with open_site(step, partitions=2) as site:
        first = site.start("a")
        jobs = [await site.client.submit("step", Step(on=f"k{number}", seconds=2)) for number in range(6)]
        await site.until(lambda: len(first.worker._leaderships.led) == 2)
        site.start("b")
        for job in jobs:
            await site.ended(job.id)
        await first.drain()
        await site.at_rest()
        assert site.witness.lines("split brain") == []
        assert site.witness.count("jobkit.violations") == 0


def test_a_closed_consumer_says_who_took_over_where_the_broker_tells() -> None:
    assert ConsumerClosed("gone").taken_by is None
    assert ConsumerClosed("gone", taken_by="b").taken_by == "b"
