"""Whole workers in virtual time: the broker loses messages, and their jobs are done all the same."""

from __future__ import annotations

from datetime import timedelta
from typing import cast

import pytest

from jobkit import Context, Retry, RetryPolicy, processor
from jobkit.backends.sqlite.broker import SqliteBroker
from jobkit.backends.sqlite.transaction import Transaction
from jobkit.ports.coordinator import Granted
from tests.faults.doubles import Faults, after, hanging, lost_request
from tests.steps import Step, loose, step
from tests.virtual_site import Site, in_virtual_time, open_site

EVERY = 60.0
# From the loss on: until the next look, and until the sweeper has published what that found.
BOUND = EVERY + 10.0


def _lose(transaction: Transaction) -> None:
    transaction.execute("DELETE FROM messages")


async def lose_messages(site: Site) -> None:
    """Let the broker lose all that it holds."""
    await cast(SqliteBroker, site.planes.broker)._plane.write(_lose)


async def submitted(site: Site, number: int, type: str = "loose", keys: int = 7) -> list[str]:
    jobs = [
        site.client.job(type, Step(on=f"k{place % keys}", number=1 + place // keys), id=f"job-{place}")
        for place in range(number)
    ]
    return [submission.id for submission in await site.client.submit_many(jobs)]


@in_virtual_time
@pytest.mark.parametrize("type", ["loose", "step"])
async def test_jobs_whose_messages_were_lost_before_anybody_worked_are_done(type: str) -> None:
    """nothing-lost, order."""
    async with open_site(loose, step) as site:
        ids = await submitted(site, 40, type)
        await lose_messages(site)
        assert await site.queued() == 0
        lost_at = site.clock.now()
        site.start("a")
        for id in ids:
            assert (await site.ended(id)).state == "committed"
        assert site.clock.now() - lost_at < BOUND
        assert await site.log(type, "k0") == [f'{{"number":{number}}}' for number in range(1, 7)]
        assert site.witness.count("jobkit.messages.lost") == 40
        assert site.witness.count("jobkit.duplicates") == 0
        await site.at_rest()


@in_virtual_time
async def test_what_is_in_hand_when_the_broker_loses_everything_runs_once_and_the_rest_is_brought_back() -> None:
    """nothing-lost, single-effect."""
    async with open_site(loose, partitions=1, prefetch=5, concurrency=2) as site:
        site.start("a")
        long = await site.client.submit("loose", Step(on="k0", seconds=200))
        await site.faults.reached("store.open")
        ids = await submitted(site, 30)
        await lose_messages(site)
        for id in [long.id, *ids]:
            record = await site.ended(id, 300)
            assert (record.state, record.opens) == ("committed", 1)
        await site.at_rest()


@in_virtual_time
async def test_more_are_lost_than_a_page_has() -> None:
    """nothing-lost, bounded."""
    async with open_site(loose, partitions=3) as site:
        ids = await submitted(site, 2_000, keys=100)
        await lose_messages(site)
        lost_at = site.clock.now()
        site.start("a")
        for id in ids:
            assert (await site.ended(id)).state == "committed"
        assert site.clock.now() - lost_at < 2 * BOUND
        assert site.witness.count("jobkit.messages.lost") == 2_000
        await site.at_rest()


@in_virtual_time
async def test_nothing_is_asked_while_nothing_waits_and_little_while_all_is_well() -> None:
    async with open_site(loose, partitions=1, prefetch=2, concurrency=1) as site:
        site.start("a")
        await site.clock.sleep(5 * EVERY)
        assert 5 <= site.faults.calls["store.adrift"] <= 10
        assert site.faults.calls["broker.barrier"] == 0
        # A queue that is never empty, for as long again.
        for number in range(60):
            await site.client.submit("loose", Step(on=f"k{number}", seconds=5))
        await site.clock.sleep(5 * EVERY)
        assert 1 <= site.faults.calls["broker.barrier"] <= 10
        await site.at_rest()
        assert site.witness.count("jobkit.messages.lost") == 0
        assert site.witness.count("jobkit.duplicates") == 0


@in_virtual_time
async def test_a_barrier_that_is_lost_with_the_queue_is_followed_by_another() -> None:
    """nothing-lost."""
    async with open_site(loose, partitions=1) as site:
        (id,) = await submitted(site, 1)
        await lose_messages(site)
        site.faults.once("broker.barrier", hanging)
        site.start("a")
        assert (await site.ended(id, 2 * EVERY + 10)).state == "committed"
        assert site.faults.calls["broker.barrier"] >= 2
        await site.at_rest()


@in_virtual_time
async def test_trouble_while_looking_delays_it_and_no_more() -> None:
    """nothing-lost: whatever call of it fails first, the next look does it."""
    for call in (
        "broker.restore",
        "store.horizon",
        "store.adrift",
        "broker.barrier",
        "coordinator.leases",
        "store.republish",
    ):
        async with open_site(loose, partitions=1, republish_seconds=20) as site:
            (id,) = await submitted(site, 1)
            await lose_messages(site)
            site.start("a")
            await site.until(lambda: site.faults.calls["broker.receive"] > 0)
            site.faults.once(call, lost_request)
            assert (await site.ended(id, 60)).state == "committed"
            await site.at_rest()


@in_virtual_time
async def test_a_consumer_that_is_lost_has_it_looked_at_soon() -> None:
    """nothing-lost: who loses a queue need not wait for the next look."""
    async with open_site(loose, partitions=1, republish_seconds=600) as site:
        site.start("a")
        await site.until(lambda: site.faults.calls["broker.receive"] > 0)
        site.faults.always("broker.receive", after(lambda: site.clock.sleep(3600)))
        (id,) = await submitted(site, 1)
        await lose_messages(site)
        site.faults.heal()
        site.faults.close_consumers()
        assert (await site.ended(id, 20)).state == "committed"
        await site.at_rest()


@processor("patient", key=lambda job: job.on, retry=RetryPolicy(max_attempts=2, jitter=0))
async def patient(job: Step, ctx: Context) -> int:
    """Fails once, and wants to be left alone for two minutes."""
    if ctx.job.attempt == 1:
        raise Retry("later", after=timedelta(minutes=2))
    return ctx.job.attempt


@in_virtual_time
async def test_a_job_that_was_told_to_wait_is_not_taken_for_lost_by_its_leader_nor_the_next() -> None:
    async with open_site(patient, partitions=1) as site:
        first = site.start("a", faults=Faults(site.clock))
        began = site.clock.now()
        job = await site.client.submit("patient", Step())
        await site.until(lambda: first.faults.calls["broker.delay"] == 1)
        await site.clock.sleep(EVERY)
        await first.drain()
        site.start("b")
        record = await site.ended(job.id, 400)
        assert site.clock.now() - began >= 120
        assert (record.state, record.opens) == ("committed", 2)
        assert site.witness.count("jobkit.messages.lost") == 0
        await site.at_rest()


@in_virtual_time
async def test_a_delayed_message_that_is_lost_is_missed_when_it_should_long_be_back() -> None:
    """nothing-lost."""
    async with open_site(patient, partitions=1) as site:
        site.start("a")
        job = await site.client.submit("patient", Step())
        await site.until(lambda: site.faults.calls["broker.delay"] == 1)
        await lose_messages(site)
        record = await site.ended(job.id, 2 * 120 + 10 + BOUND)
        assert (record.state, record.result) == ("committed", b"2")
        await site.at_rest()


@in_virtual_time
async def test_jobs_of_a_key_that_somebody_else_works_on_do_not_multiply() -> None:
    """bounded: they come and go between the queue and its delays, where no barrier finds them."""
    async with open_site(loose, partitions=1, claim_wait=2) as site:
        claim = await site.planes.coordinator.claim("loose/k", owner="stranger", nonce="n", ttl=700)
        assert isinstance(claim, Granted)
        site.start("a")
        job = await site.client.submit("loose", Step())
        await site.clock.sleep(9 * EVERY)
        assert await site.queued() == 1
        assert site.witness.count("jobkit.messages.lost") == 0
        record = await site.ended(job.id, 300)
        assert (record.state, record.opens) == ("committed", 1)
        await site.at_rest()


@in_virtual_time
async def test_a_queue_that_takes_longer_than_the_interval_is_no_loss() -> None:
    async with open_site(loose, partitions=1, prefetch=1, concurrency=1) as site:
        site.start("a")
        for number in range(8):
            await site.client.submit("loose", Step(on=f"k{number}", seconds=80))
        await site.at_rest(900)
        assert site.witness.count("jobkit.messages.lost") == 0
        assert site.witness.count("jobkit.duplicates") == 0


@in_virtual_time
async def test_jobs_in_hand_are_known_by_their_ids() -> None:
    """A look that did not know them would ask the queue each time."""
    async with open_site(loose, partitions=1) as site:
        site.start("a")
        job = await site.client.submit("loose", Step(seconds=4 * EVERY))
        await site.client.submit("loose", Step(number=2))
        await site.clock.sleep(3 * EVERY)
        assert site.faults.calls["broker.barrier"] == 0
        await site.ended(job.id, 4 * EVERY)
        await site.at_rest()
        assert site.witness.count("jobkit.messages.lost") == 0
