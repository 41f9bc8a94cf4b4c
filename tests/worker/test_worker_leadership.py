"""Whole workers in virtual time: who leads what, and how that changes hands."""

from __future__ import annotations

from collections import Counter

import anyio
import pytest

from jobkit import Context, processor
from jobkit.leases import LeaseTerms
from jobkit.settings import Settings
from tests.faults.doubles import Faults, lost_request, slow_reply, slow_request
from tests.steps import Step, step
from tests.virtual_site import Site, in_virtual_time, open_site

# A worker that has its share looks around this often, and not more rarely.
_LOOKS_EVERY = Settings.model_construct().lease_ttl / 3


async def _led_by(site: Site, *owners: str) -> bool:
    """Return whether exactly these lead everything, as evenly as can be."""
    leaders = await site.leaders()
    counts = Counter(leaders.values())
    return (
        len(leaders) == site.settings.partitions * len(site.registry.processors)
        and set(counts) == set(owners)
        and max(counts.values()) - min(counts.values()) <= len(site.registry.processors)
    )


@in_virtual_time
async def test_one_worker_leads_everything_at_once() -> None:
    async with open_site(step, partitions=8) as site:
        site.start("a")
        assert await site.until(lambda: _led_by(site, "a")) < 1
        assert site.witness.count("jobkit.elections") == 8


@in_virtual_time
async def test_a_second_worker_gets_its_fair_share_in_bounded_time_and_no_partition_flaps() -> None:
    async with open_site(step, partitions=8) as site:
        site.start("a")
        await site.until(lambda: _led_by(site, "a"))
        site.start("b")
        assert await site.until(lambda: _led_by(site, "a", "b")) < 2 * _LOOKS_EVERY
        site.start("c")
        assert await site.until(lambda: _led_by(site, "a", "b", "c")) < 2 * _LOOKS_EVERY
        elections = site.witness.count("jobkit.elections")
        assert elections <= 8 + 4 + 3
        await site.clock.sleep(300)
        assert site.witness.count("jobkit.elections") == elections
        assert site.witness.count("jobkit.leases.lost") == 0


@in_virtual_time
async def test_the_partitions_of_a_worker_that_died_are_led_again_within_a_lease_and_one_look() -> None:
    """nothing-lost."""
    async with open_site(step, partitions=8) as site:
        victim = site.start("victim", faults=Faults(site.clock))
        await site.until(lambda: _led_by(site, "victim"))
        site.start("heir")
        await site.until(lambda: _led_by(site, "victim", "heir"))
        await victim.crash()
        assert await site.until(lambda: _led_by(site, "heir")) < site.settings.lease_ttl + _LOOKS_EVERY


@in_virtual_time
async def test_the_partitions_of_a_worker_that_drains_are_taken_over_while_its_last_job_still_runs() -> None:
    async with open_site(step, partitions=8, drain_seconds=120) as site:
        leaver = site.start("leaver")
        await site.until(lambda: _led_by(site, "leaver"))
        job = await site.client.submit("step", Step(seconds=100))
        await site.until(lambda: site.faults.calls["store.open"] == 1)
        site.start("stayer")
        await site.until(lambda: _led_by(site, "leaver", "stayer"))
        leaver.worker.drain()
        # With leases of 15 s, too: who leaves is heard.
        assert await site.until(lambda: _led_by(site, "stayer")) < 1
        assert not leaver.ended.is_set()
        record = await site.ended(job.id)
        assert (record.state, record.owner, record.opens) == ("committed", "leaver", 1)


@in_virtual_time
@pytest.mark.parametrize("operation", ["leases", "heartbeat", "wait_change"])
async def test_what_a_leaving_worker_hands_over_is_taken_at_once_wherever_the_other_ones_look_just_is(
    operation: str,
) -> None:
    """A look that is under way while the other one leaves may miss either of the two: that it left, what it freed."""
    async with open_site(step, partitions=8) as site:
        leaver, stayer = site.start("leaver"), site.start("stayer", faults=Faults(site.clock))
        await site.until(lambda: _led_by(site, "leaver", "stayer"))
        for fault in (slow_request, slow_reply):
            # Until the other one has looked since this one leads.
            await site.clock.sleep(2 * _LOOKS_EVERY)
            asked = stayer.faults.calls[f"coordinator.{operation}"]
            stayer.faults.once(f"coordinator.{operation}", fault(0.4))
            await site.until(lambda asked=asked: stayer.faults.calls[f"coordinator.{operation}"] > asked)
            await leaver.drain()
            assert await site.until(lambda: _led_by(site, "stayer")) < 1
            leaver = site.start("leaver")
            await site.until(lambda: _led_by(site, "leaver", "stayer"))


@in_virtual_time
async def test_a_leaving_worker_is_no_longer_counted_before_its_first_partition_is_free() -> None:
    async with open_site(step, partitions=2) as site:
        leaver = site.start("leaver", faults=Faults(site.clock))
        await site.until(lambda: _led_by(site, "leaver"))
        leaver.faults.once("coordinator.leave", slow_request(1.0))
        leaver.worker.drain()

        async def something_is_free() -> bool:
            return len(await site.leaders()) < 2

        await site.until(something_is_free)
        assert await site.planes.coordinator.members() == []


@in_virtual_time
async def test_a_job_that_runs_through_a_hand_over_is_committed_once_by_who_began_it() -> None:
    """single-effect: the job goes on under its own lease, the partition under another leader."""
    async with open_site(step, partitions=1) as site:
        first = site.start("a-first")
        job = await site.client.submit("step", Step(number=1, seconds=60))
        await site.until(lambda: site.faults.calls["store.open"] == 1)
        later = await site.client.submit("step", Step(number=2))
        # The one partition of this type goes to this worker, whoever was there before.
        site.start("b-second")
        await site.until(lambda: _led_by(site, "b-second"))
        assert (await site.client.status(job.id)).state == "running"
        assert await site.shelved() == 1
        record = await site.ended(job.id)
        assert (record.owner, record.opens) == ("a-first", 1)
        assert (await site.ended(later.id)).owner == "b-second"
        assert await site.log("step", "k") == ['{"number":1}', '{"number":2}']
        await site.at_rest()
        assert not first.ended.is_set()


@in_virtual_time
async def test_a_job_that_ends_within_the_grace_is_not_shelved_by_a_hand_over() -> None:
    async with open_site(step, partitions=1) as site:
        site.start("a-first")
        job = await site.client.submit("step", Step(seconds=10))
        await site.until(lambda: site.faults.calls["store.open"] == 1)
        await site.clock.sleep(9.8 - 0.02)
        for led in site.workers[0].worker._leaderships.led:
            led.drain()
        assert (await site.ended(job.id)).state == "committed"
        assert site.faults.calls["store.shelve"] == 0


@in_virtual_time
async def test_losing_a_leadership_cancels_its_jobs_and_they_run_again() -> None:
    """no-lease-no-work."""
    cancelled: list[str] = []

    @processor("long", key=lambda job: job.on)
    async def long(job: Step, ctx: Context) -> None:
        try:
            await ctx.clock.sleep(20)
        except anyio.get_cancelled_exc_class():
            cancelled.append(ctx.fence.nonce)
            raise
        ctx.append("ran", {"nonce": ctx.fence.nonce})

    async with open_site(long, partitions=1) as site:
        site.start("a")
        job = await site.client.submit("long", Step())
        await site.until(lambda: site.faults.calls["store.open"] == 1)
        (led,) = site.workers[0].worker._leaderships.led
        # Somebody with a hammer frees the leader's lease.
        assert await site.planes.coordinator.release(led._leadership.ref)
        await site.until(lambda: len(cancelled) == 1)
        assert site.witness.count("jobkit.leases.lost", {"kind": "leader"}) == 1
        record = await site.ended(job.id)
        assert (record.state, record.opens) == ("committed", 2)
        assert len(await site.log("long", "k")) == 1
        await site.at_rest()


@in_virtual_time
async def test_a_coordinator_that_is_away_stops_all_work_before_the_leases_can_have_ended() -> None:
    """no-lease-no-work: there is no fallback, and work goes on once it is back."""
    stopped_at: list[float] = []

    @processor("long", key=lambda job: job.on)
    async def long(job: Step, ctx: Context) -> None:
        try:
            await ctx.clock.sleep(100)
        except anyio.get_cancelled_exc_class():
            stopped_at.append(ctx.clock.now())
            raise

    async with open_site(long) as site:
        site.start("a")
        job = await site.client.submit("long", Step())
        await site.until(lambda: site.faults.calls["store.open"] == 1)
        away_since = site.clock.now()
        site.faults.always("coordinator.*", lost_request)
        await site.until(lambda: len(stopped_at) == 1)
        assert stopped_at[0] - away_since <= site.settings.lease_ttl
        opens = site.faults.calls["store.open"]
        await site.clock.sleep(120)
        assert site.faults.calls["store.open"] == opens
        assert site.witness.count("jobkit.renewals.failed") > 0
        assert not site.workers[0].worker.ready()["coordinator_answers"]
        site.faults.heal()
        record = await site.ended(job.id, 200)
        assert (record.state, record.opens) == ("committed", 2)
        assert site.workers[0].worker.ready() == {
            "not_draining": True,
            "coordinator_answers": True,
            "one_coordinator": True,
            "no_backend_refuses": True,
            "consumers_open": True,
        }
        assert len(stopped_at) == 1


@in_virtual_time
async def test_a_partition_that_comes_back_does_not_hide_the_job_that_still_runs_from_before() -> None:
    """nothing-lost: a drain waits for both."""
    async with open_site(step, partitions=1, drain_seconds=100) as site:
        first = site.start("a-first")
        job = await site.client.submit("step", Step(seconds=90))
        await site.until(lambda: site.faults.calls["store.open"] == 1)
        second = site.start("b-second")
        await site.until(lambda: _led_by(site, "b-second"))
        await second.drain()
        await site.until(lambda: _led_by(site, "a-first"))
        await first.drain()
        record = await site.client.status(job.id)
        assert (record.state, record.opens) == ("committed", 1)


@in_virtual_time
async def test_a_worker_without_partitions_is_ready_and_takes_over_when_needed() -> None:
    async with open_site(step, partitions=1) as site:
        first = site.start("a")
        await site.until(lambda: _led_by(site, "a"))
        spare = site.start("b")
        await site.clock.sleep(60)
        assert await _led_by(site, "a")
        assert all(spare.worker.ready().values())
        await first.drain()
        assert await site.until(lambda: _led_by(site, "b")) < 1.5 * _LOOKS_EVERY


def test_default_terms_outlast_two_lost_renewals_at_half_a_second_of_round_trip() -> None:
    """The incident's L4: no flapping on a slow network."""
    settings = Settings.model_construct()
    terms = LeaseTerms.of(settings)
    assert terms.trusted > 2 * terms.renew_every + 2 * 0.5


@in_virtual_time
async def test_nobody_is_elected_anew_while_every_call_takes_half_a_second() -> None:
    """The incident's L4: at most one election a minute at 500 ms round trips."""
    async with open_site(step, partitions=4) as site:
        site.faults.always("coordinator.*", slow_reply(0.5))
        site.start("a")
        site.start("b")
        await site.until(lambda: _led_by(site, "a", "b"))
        await site.clock.sleep(1)
        elections = site.witness.count("jobkit.elections")
        await site.clock.sleep(600)
        assert site.witness.count("jobkit.elections") == elections
        assert site.witness.count("jobkit.leases.lost") == 0


@pytest.mark.parametrize("operation", ["store.pauses", "coordinator.release"])
@in_virtual_time
async def test_a_worker_that_is_far_gives_its_partitions_up_and_has_them_back_when_it_is_near_again(
    operation: str,
) -> None:
    """Its jobs took four round trips of 500 ms, and the lag grew by a second each second."""
    async with open_site(step, partitions=8) as site:
        far = Faults(site.clock)
        site.start("near")
        site.start("far", faults=far)
        await site.until(lambda: _led_by(site, "near", "far"))
        far.always(operation, slow_reply(0.5))
        assert await site.until(lambda: _led_by(site, "near")) < 5
        elections = site.witness.count("jobkit.elections")
        await site.clock.sleep(120)
        assert site.witness.count("jobkit.elections") == elections
        far.heal()
        assert await site.until(lambda: _led_by(site, "near", "far")) < 15 + 2 * _LOOKS_EVERY
        # No job was begun by two, for all of this is hand-over.
        assert site.witness.count("jobkit.leases.lost") == 0


@in_virtual_time
async def test_links_that_come_and_go_move_no_partition_with_them() -> None:
    async with open_site(step, partitions=8) as site:
        far = Faults(site.clock)
        site.start("near")
        site.start("far", faults=far)
        await site.until(lambda: _led_by(site, "near", "far"))
        far.always("store.pauses", slow_reply(0.5))
        await site.until(lambda: _led_by(site, "near"))
        elections = site.witness.count("jobkit.elections")
        for _ in range(30):
            far.heal()
            await site.clock.sleep(4)
            far.always("store.pauses", slow_reply(0.5))
            await site.clock.sleep(4)
        assert site.witness.count("jobkit.elections") == elections


@in_virtual_time
async def test_a_worker_that_has_nobody_nearer_leads_however_far_it_is() -> None:
    async with open_site(step, partitions=8) as site:
        far = Faults(site.clock)
        far.always("store.pauses", slow_reply(2.0))
        site.start("far", faults=far)
        await site.until(lambda: _led_by(site, "far"))
        await site.clock.sleep(60)
        assert await _led_by(site, "far")
