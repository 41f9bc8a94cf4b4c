"""Whole workers of two versions side by side in virtual time: what one does not know it holds for the other."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from jobkit import Context, Payload, processor
from jobkit.client import Client
from jobkit.model.envelope import Envelope
from jobkit.model.partition import Partition, partition_of
from jobkit.plugin.registry import Registry
from tests.faults.doubles import Faults
from tests.virtual_site import Site, in_virtual_time, open_site


class Old(Payload):
    on: str
    cents: int = 0


class New(Payload):
    on: str
    amount: str
    slow: float = 0.0


@processor("pay", key=lambda job: job.on, ordered=True)
async def old(job: Old, ctx: Context) -> str:
    ctx.append("paid", {"by": "old", "amount": f"{job.cents / 100:.2f}"})
    return "old"


@processor("pay", key=lambda job: job.on, ordered=True, version=2)
async def new(job: New, ctx: Context) -> str:
    await ctx.clock.sleep(job.slow)
    ctx.append("paid", {"by": "new", "amount": job.amount})
    return "new"


@new.upcast(from_version=1)
def _in_words(old: dict[str, Any]) -> Mapping[str, Any]:
    return {"on": old["on"], "amount": f"{old['cents'] / 100:.2f}"}


NEW = Registry([new])


def client_of(site: Site, registry: Registry) -> Client:
    return Client(site.planes, registry, site.settings, site.clock, site.witness.telemetry)


async def started_first(site: Site) -> None:
    """Start a worker of the old version, and wait until it leads everything."""
    site.start("old")
    await site.until(lambda: len(site.workers[0].worker._leaderships.led) == 2)


async def held(site: Site, number: int, **attributes: str) -> None:
    """Wait until so many jobs were set aside."""
    await site.until(lambda: site.witness.count("jobkit.jobs.held", attributes) >= number)


@in_virtual_time
async def test_old_and_new_side_by_side_do_every_job_in_the_order_of_its_key() -> None:
    """nothing-lost, order: whoever leads a partition, and whoever submits."""
    async with open_site(old) as site:
        await started_first(site)
        newer = client_of(site, NEW)
        for key in ("a", "b", "c"):
            await site.client.submit("pay", Old(on=key, cents=100))
            await newer.submit("pay", New(on=key, amount="2.00"))
            await site.client.submit("pay", Old(on=key, cents=300))
        await held(site, 3, unknown="payload")
        site.start("new", registry=NEW)
        await site.at_rest()
        assert await site.reasons() == []
        for key in ("a", "b", "c"):
            log = [json.loads(entry) for entry in await site.log("pay", key)]
            assert [entry["amount"] for entry in log] == ["1.00", "2.00", "3.00"]
            assert [entry["by"] for entry in log[:2]] == ["old", "new"]


@in_virtual_time
async def test_what_no_live_worker_knows_dies_after_its_time_and_not_before() -> None:
    async with open_site(old, unknown_hold=60) as site:
        job = await client_of(site, NEW).submit("pay", New(on="a", amount="2"))
        site.start()
        await held(site, 1)
        await site.clock.sleep(55)
        assert (await site.reasons(), await site.shelved()) == ([], 1)
        record = await site.ended(job.id, 15)
        assert record.state == "dead"
        (letter,) = await site.planes.inspection.dead()
        assert letter.reason == "unknown payload"
        assert "is of version 2, and the code that is loaded knows versions up to 1" in letter.detail
        assert await site.shelved() == 0
        # Whoever comes too late for it has it requeued.
        site.start("new", registry=NEW)
        await site.planes.inspection.requeue_dead(letter.number)
        assert (await site.ended(job.id)).state == "committed"


@in_virtual_time
async def test_what_a_worker_knows_and_has_no_room_for_is_not_buried_by_those_who_do_not() -> None:
    async with open_site(old, unknown_hold=20, concurrency=1, prefetch=1) as site:
        await started_first(site)
        newer = client_of(site, NEW)
        jobs = [await newer.submit("pay", New(on=f"k{n}", amount="2", slow=50)) for n in range(4)]
        await held(site, 4)
        site.start("new", registry=NEW)
        for job in jobs:
            assert (await site.ended(job.id, 400)).state == "committed"


@in_virtual_time
async def test_a_held_job_whose_worker_crashed_is_taken_up_by_the_next_that_knows_it() -> None:
    async with open_site(old) as site:
        await started_first(site)
        job = await client_of(site, NEW).submit("pay", New(on="a", amount="2", slow=30))
        await held(site, 1)
        crashed = site.start("new", registry=NEW, faults=Faults(site.clock))

        async def runs() -> bool:
            return (await site.client.status(job.id)).state == "running"

        await site.until(runs)
        await crashed.crash()
        site.start("newer", registry=NEW)
        assert (await site.ended(job.id)).state == "committed"
        assert len(await site.log("pay", "a")) == 1


@in_virtual_time
async def test_a_held_job_is_cancelled_and_paused_like_any_other() -> None:
    async with open_site(old) as site:
        await started_first(site)
        newer = client_of(site, NEW)
        one, two = [await newer.submit("pay", New(on=key, amount="2")) for key in ("a", "b")]
        await held(site, 2)
        await site.client.cancel(one.id)
        await site.client.pause("pay", key="b")
        site.start("new", registry=NEW)
        await site.clock.sleep(60)
        states = [(await site.client.status(job.id)).state for job in (one, two)]
        assert states == ["cancelled", "queued"]
        await site.client.resume("pay", key="b")
        assert (await site.ended(two.id)).state == "committed"


@in_virtual_time
async def test_a_drain_waits_for_the_held_job_that_runs() -> None:
    async with open_site(old) as site:
        await started_first(site)
        job = await client_of(site, NEW).submit("pay", New(on="a", amount="2", slow=10))
        await held(site, 1)
        newer = site.start("new", registry=NEW)

        async def runs() -> bool:
            return (await site.client.status(job.id)).state == "running"

        await site.until(runs)
        await newer.drain()
        assert (await site.client.status(job.id)).state == "committed"


@pytest.mark.parametrize("key", ["a", None])
@in_virtual_time
async def test_a_message_of_a_later_envelope_is_held_whole(key: str | None) -> None:
    """What the later version says besides is still there for it, and the job is what it was."""
    async with open_site(old, unknown_hold=30) as site:
        await site.planes.broker.declare("pay", 2)
        later = Envelope("x", "pay", b'{"on":"a"}', key=key, extra={"tenant": "t"}, schema=2)
        await site.planes.broker.publish([(Partition("pay", partition_of(key or "", 2)), later)])
        site.start()
        await held(site, 1, unknown="schema")
        (found,) = await site.planes.store.shelved(Partition("pay", -1), limit=10)
        assert found.envelope == later
        await site.at_rest()
        (letter,) = await site.planes.inspection.dead()
        assert (letter.reason, letter.raw) == ("unknown schema", b'{"on":"a"}')


@in_virtual_time
async def test_a_type_of_a_group_that_another_worker_has_is_its_to_do() -> None:
    @processor("in", key=lambda job: job.on, group="account")
    async def one(job: Old, ctx: Context) -> str:
        return "in"

    @processor("out", key=lambda job: job.on, group="account")
    async def other(job: Old, ctx: Context) -> str:
        return "out"

    both = Registry([one, other])
    async with open_site(one) as site:
        await started_first(site)
        submitter = client_of(site, both)
        jobs = [await submitter.submit(type, Old(on=key)) for type in ("in", "out") for key in ("a", "b", "c")]
        await held(site, 3, unknown="type")
        site.start("both", registry=both)
        for job in jobs:
            assert (await site.ended(job.id)).state == "committed"
