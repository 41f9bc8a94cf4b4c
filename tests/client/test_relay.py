"""The relay in virtual time: from the outbox to the broker."""

from __future__ import annotations

import anyio
import pytest

from jobkit.client.relay import Relay
from jobkit.errors import ConfigurationError, Unavailable
from jobkit.model.partition import Partition
from jobkit.ports.store import OutboxEntry
from tests.faults.doubles import Fault, faulty_planes, lost_reply, lost_request
from tests.steps import Step, loose, step
from tests.virtual_site import Site, in_virtual_time, open_site


def _relay(site: Site, *, partitions: int | None = None) -> Relay:
    planes = faulty_planes(site.planes, site.faults)
    return Relay(
        planes.store,
        planes.broker,
        partitions=partitions or site.settings.partitions,
        grace=site.settings.relay_grace,
        clock=site.clock,
        telemetry=site.witness.telemetry,
    )


async def _accept(site: Site, type: str, count: int, on: str = "k") -> None:
    """Accept jobs and leave them in the outbox, as a client that dies at once does."""
    numbers = range(1, count + 1)
    await site.planes.store.submit([site.client.job(type, Step(on=on, number=number)) for number in numbers])


async def _outbox(site: Site) -> list[OutboxEntry]:
    return list(await site.planes.store.outbox(older_than=-1, limit=10_000))


async def _delivered(site: Site, partition: Partition) -> list[int]:
    async with site.planes.broker.consume(partition, "me") as consumer:
        deliveries = await consumer.receive(10_000)
    return [delivery.envelope.sequence or 0 for delivery in deliveries if delivery.envelope]


@in_virtual_time
async def test_entries_are_published_in_order_and_leave_the_outbox_only_then() -> None:
    """nothing-lost, order."""
    async with open_site(step, partitions=1) as site:
        await _accept(site, "step", 1_200)
        entries = await _outbox(site)
        await _relay(site).publish(entries)
        assert await _outbox(site) == []
        assert await _delivered(site, Partition("step", 0)) == list(range(1, 1_201))
        # In bounded pieces, and with one declaration.
        assert (site.faults.calls["broker.publish"], site.faults.calls["broker.declare"]) == (3, 1)


@in_virtual_time
async def test_any_number_of_jobs_that_cannot_be_published_hide_none_that_can() -> None:
    """nothing-lost."""
    async with open_site(step, loose, relay_grace=1) as site:
        await site.planes.broker.declare("step", 7)
        await _accept(site, "step", 1_100)
        await _accept(site, "loose", 2)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_relay(site).run)
            await site.until(lambda: _only(site, "step"))
            tasks.cancel_scope.cancel()
        assert len(await _outbox(site)) == 1_100


async def _only(site: Site, type: str) -> bool:
    return {entry.envelope.type for entry in await _outbox(site)} == {type}


@pytest.mark.parametrize("fault", [lost_request, lost_reply], ids=["request lost", "reply lost"])
@pytest.mark.parametrize("operation", ["broker.declare", "broker.publish", "store.published"])
@in_virtual_time
async def test_whatever_is_lost_on_the_way_no_entry_is(operation: str, fault: Fault) -> None:
    """nothing-lost."""
    async with open_site(step, partitions=1) as site:
        await _accept(site, "step", 3)
        relay = _relay(site)
        site.faults.once(operation, fault)
        entries = await _outbox(site)
        with pytest.raises(Unavailable):
            await relay.publish(entries)
        await relay.publish(await _outbox(site))
        delivered = await _delivered(site, Partition("step", 0))
        assert delivered[-3:] == [1, 2, 3]
        assert await _outbox(site) == []


@in_virtual_time
async def test_a_worker_publishes_what_others_left_behind_after_the_grace() -> None:
    """nothing-lost: a client died between accepting and publishing."""
    async with open_site(step, relay_grace=5) as site:
        await _accept(site, "step", 3)
        started = site.clock.now()
        site.start()
        await site.until(lambda: site.witness.count("jobkit.jobs", {"outcome": "committed"}) == 3)
        assert site.clock.now() - started >= 5
        assert await site.log("step", "k") == [f'{{"number":{number}}}' for number in (1, 2, 3)]


@in_virtual_time
async def test_the_relay_goes_on_after_every_kind_of_trouble() -> None:
    async with open_site(step, relay_grace=1) as site:
        site.faults.once("store.outbox", lost_request, lost_request)
        site.faults.once("broker.publish", lost_request)
        await _accept(site, "step", 3)
        site.start()
        await site.until(lambda: site.witness.count("jobkit.jobs", {"outcome": "committed"}) == 3)
        assert site.witness.count("jobkit.connections.lost") == 3


@in_virtual_time
async def test_what_a_commit_released_is_published_at_once_and_again_by_a_sweep_where_that_failed() -> None:
    async with open_site(step, relay_grace=60) as site:
        await _accept(site, "step", 3)
        relay = _relay(site)
        entries = await _outbox(site)
        relay.hand([])
        relay.hand(entries)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(relay.run)
            took = await site.until(lambda: _empty(site))
            assert took < 1
            site.faults.once("broker.publish", lost_request)
            await _accept(site, "step", 1, on="other")
            relay.hand(await _outbox(site))
            took = await site.until(lambda: _empty(site), within=200)
            assert took > 60
            tasks.cancel_scope.cancel()


async def _empty(site: Site) -> bool:
    return await _outbox(site) == []


@in_virtual_time
async def test_a_type_that_cannot_be_published_is_in_no_other_types_way() -> None:
    """nothing-lost: its queues were made with another number of partitions."""
    async with open_site(step, loose, relay_grace=1) as site:
        await site.planes.broker.declare("step", 7)
        await _accept(site, "step", 2)
        await _accept(site, "loose", 2)
        with pytest.raises(ConfigurationError, match="JOBKIT_PARTITIONS=7"):
            await _relay(site).publish(await _outbox(site))
        assert {entry.envelope.type for entry in await _outbox(site)} == {"step"}
