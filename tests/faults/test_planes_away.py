"""A whole plane is away for a while, or slow, or forgets: work waits, and nothing wrong becomes visible."""

from __future__ import annotations

import pytest

from jobkit import Context, processor
from jobkit.ports.coordinator import LeaseRef
from tests.faults.doubles import Fault, Faults, hanging, lost_reply, lost_request, slow_reply, slow_request
from tests.steps import Step, loose, step
from tests.virtual_site import Site, in_virtual_time, open_site

COUNT = 4


async def _submit(site: Site, seconds: float = 0.0) -> list[str]:
    steps = [Step(number=number, seconds=seconds) for number in range(1, COUNT + 1)]
    return [(await site.client.submit(type, one)).id for one in steps for type in ("step", "loose")]


async def _all_took_effect_once(site: Site, ids: list[str]) -> None:
    """single-effect, order, nothing-lost."""
    for id in ids:
        assert (await site.ended(id, 300)).state == "committed"
    assert await site.log("step", "k") == [f'{{"number":{number}}}' for number in range(1, COUNT + 1)]
    assert sorted(await site.log("loose", "k")) == [f'{{"number":{number}}}' for number in range(1, COUNT + 1)]
    await site.at_rest(300)
    assert await site.reasons() == []


# Longer than from one renewal to the next: a key that has more jobs keeps its lease, and asks for nothing else.
@pytest.mark.parametrize("seconds", [6.0, 60.0])
@pytest.mark.parametrize("fault", [lost_request, lost_reply], ids=["requests lost", "replies lost"])
@pytest.mark.parametrize("plane", ["broker", "coordinator", "store"])
@in_virtual_time
async def test_work_goes_on_when_a_plane_comes_back(plane: str, fault: Fault, seconds: float) -> None:
    """nothing-lost: in bounded time, and each effect once."""
    async with open_site(step, loose) as site:
        site.start()
        await site.until(lambda: site.faults.calls["broker.consume"] == 4)
        ids = await _submit(site, seconds=1.0)
        await site.until(lambda: site.faults.calls["store.open"] >= 2)
        site.faults.always(f"{plane}.*", fault)
        if plane == "broker":
            site.faults.close_consumers()
        await site.clock.sleep(seconds)
        site.faults.heal()
        back_at = site.clock.now()
        await _all_took_effect_once(site, ids)
        assert site.clock.now() - back_at < 2 * COUNT * 1.0 + site.settings.lease_ttl + 2 * 5.0 + 5.0
        assert site.witness.count("jobkit.connections.lost") + site.witness.count("jobkit.renewals.failed") > 0


@pytest.mark.parametrize("plane", ["broker", "coordinator", "store"])
@in_virtual_time
async def test_half_a_second_of_round_trip_slows_work_down_and_breaks_nothing(plane: str) -> None:
    """The incident's weather: no lease is lost, nobody runs a job twice."""
    async with open_site(step, loose) as site:
        site.faults.always(f"{plane}.*", slow_request(0.5))
        site.start()
        ids = await _submit(site, seconds=10.0)
        await _all_took_effect_once(site, ids)
        assert site.witness.count("jobkit.leases.lost") == 0
        for id in ids:
            assert (await site.client.status(id)).opens == 1


@in_virtual_time
async def test_a_store_that_is_away_at_the_commit_is_asked_until_it_is_back_and_the_job_is_not_run_again() -> None:
    """single-effect: the lease lives on, so the work is not thrown away."""
    async with open_site(step) as site:
        site.start()
        job = await site.client.submit("step", Step(seconds=5))
        await site.until(lambda: site.faults.calls["store.open"] == 1)
        site.faults.always("store.*", lost_request)
        await site.clock.sleep(65)
        site.faults.heal()
        record = await site.ended(job.id, 10)
        assert (record.state, record.opens) == ("committed", 1)


@in_virtual_time
async def test_a_renewal_slower_than_the_lease_ends_the_work_in_time() -> None:
    """no-lease-no-work."""
    async with open_site(step) as site:
        site.start("slow")
        job = await site.client.submit("step", Step(seconds=30))
        await site.until(lambda: site.faults.calls["store.open"] == 1)
        site.faults.once("coordinator.renew", *[slow_reply(40)] * 3)
        others = Faults(site.clock)
        site.start("quick", faults=others)
        record = await site.ended(job.id)
        assert record.state == "committed"
        assert len(await site.log("step", "k")) == 1
        assert site.witness.count("jobkit.leases.lost", {"kind": "job"}) >= 1
        await site.at_rest()


@in_virtual_time
async def test_a_renewal_that_never_answers_does_not_stop_the_next_ones_for_ever() -> None:
    """nothing-lost: a lost packet must not end a worker's ability to hold leases."""
    async with open_site(step) as site:
        site.start()
        await site.until(lambda: site.faults.calls["broker.consume"] == 2)
        site.faults.once("coordinator.renew", hanging)
        await site.clock.sleep(60)
        job = await site.client.submit("step", Step(seconds=60))
        record = await site.ended(job.id, 200)
        assert (record.state, record.opens) == ("committed", 1)


async def _forget_everything(site: Site) -> None:
    """The coordinator loses its data: leases, and how high its tokens had been."""
    for table in ("leases", "members"):
        await _execute(site, f"DELETE FROM {table}")  # noqa: S608  (names from above)
    await _execute(site, "UPDATE tokens SET highest = 0")


async def _execute(site: Site, statement: str) -> None:
    await site.planes.coordinator._plane.write(  # type: ignore[attr-defined]
        lambda transaction: transaction.execute(statement) and None
    )


@in_virtual_time
async def test_a_coordinator_that_forgets_everything_makes_nothing_wrong_visible() -> None:
    """fencing: tokens stay monotonic in what is written, whoever was granted what."""
    async with open_site(step, loose) as site:
        site.start("a")
        site.start("b")
        ids = await _submit(site, seconds=3.0)
        for _ in range(6):
            await site.clock.sleep(4)
            await _forget_everything(site)
        await _all_took_effect_once(site, ids)
        tokens = [entry.token for entry in await site.planes.inspection.log("step", "k")]
        assert tokens == sorted(tokens)
        assert site.witness.count("jobkit.stale_writes") > 0


@in_virtual_time
async def test_two_holders_of_one_key_commit_once() -> None:
    """fencing, single-effect: the first is refused, whatever it believes, and says so."""
    runs: list[str] = []

    @processor("long", key=lambda job: job.on, ordered=True)
    async def long(job: Step, ctx: Context) -> None:
        runs.append(ctx.fence.owner)
        await ctx.clock.sleep(30)
        ctx.append("ran", {"owner": ctx.fence.owner})

    async with open_site(long, partitions=1, delivery_hold=2) as site:
        # The first keeps believing in its leases, because nobody tells it otherwise.
        deaf = Faults(site.clock)
        believer = site.start("believer", faults=deaf)
        job = await site.client.submit("long", Step())
        await site.until(lambda: len(runs) == 1)
        deaf.always("coordinator.renew", _pretend_all_is_well(believer))
        await site.until(lambda: _shelved(site))
        await _forget_everything(site)
        site.start("other")
        record = await site.ended(job.id)
        assert runs[:2] == ["believer", "other"]
        assert (record.state, record.owner) == ("committed", "other")
        assert await site.log("long", "k") == ['{"owner":"other"}']
        (line, *_) = site.witness.lines("stale write refused")
        assert line["doing"] == "commit"
        await site.at_rest()


async def _shelved(site: Site) -> bool:
    return await site.shelved() == 1 and await site.queued() == 0


def _pretend_all_is_well(running: object) -> Fault:
    async def fault(call: object) -> frozenset[LeaseRef]:
        return frozenset(running.worker._keeper._held)  # type: ignore[attr-defined]

    return fault


@in_virtual_time
async def test_consumers_that_break_all_the_time_still_deliver() -> None:
    """nothing-lost: each break costs duplicates at most."""
    async with open_site(step, loose) as site:
        site.start()
        ids = await _submit(site, seconds=2.0)
        for _ in range(10):
            await site.clock.sleep(1.3)
            site.faults.close_consumers()
        await _all_took_effect_once(site, ids)
        for id in ids:
            assert (await site.client.status(id)).opens == 1


@in_virtual_time
async def test_progress_that_cannot_be_written_does_not_end_the_work() -> None:
    """Progress is for eyes; a store that is away for a moment must not cost an hour of work."""
    runs = 0

    @processor("reporting", key=lambda job: job.on)
    async def reporting(job: Step, ctx: Context) -> None:
        nonlocal runs
        runs += 1
        for tenth in range(10):
            await ctx.clock.sleep(1)
            await ctx.progress(tenth / 10, "on its way")

    async with open_site(reporting) as site:
        site.start()
        site.faults.once("store.progress", lost_request, lost_reply)
        job = await site.client.submit("reporting", Step())
        record = await site.ended(job.id)
        assert (record.state, record.opens, runs) == ("committed", 1, 1)
        assert site.witness.count("jobkit.connections.lost", {"plane": "store"}) == 2
