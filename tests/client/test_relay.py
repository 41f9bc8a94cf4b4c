"""The relay in virtual time: from the outbox to the broker, each partition by itself."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import cast

import anyio
import pytest

from jobkit.client.layouts import Layouts
from jobkit.client.publish_pace import Pace
from jobkit.client.relay import GATHERED, Relay, left
from jobkit.model.layout import Layout
from jobkit.model.partition import Partition
from jobkit.model.priority import Priority
from jobkit.ports.broker import Broker, Deferred, InDoubt, Published, Rejected
from jobkit.ports.store import OutboxEntry
from tests.errands import Errands
from tests.faults.answers import AnsweringBroker, refusing, rejecting, silent
from tests.faults.doubles import Fault, before, faulty_planes, lost_reply, lost_request
from tests.steps import Step, loose, step
from tests.virtual_site import Site, in_virtual_time, open_site

ZERO, ONE = Partition("step", 0), Partition("step", 1)


def answering(site: Site) -> AnsweringBroker:
    """Put a broker between the site and its own that answers as it is told."""
    broker = AnsweringBroker(site.planes.broker, site.clock)
    site.planes = replace(site.planes, broker=cast(Broker, broker))
    return broker


def relay(site: Site, *, partitions: int | None = None) -> Relay:
    planes = faulty_planes(site.planes, site.faults)
    return Relay(
        planes.store,
        planes.broker,
        layouts=Layouts(planes.store, partitions or site.settings.partitions, site.clock),
        clock=site.clock,
        telemetry=site.witness.telemetry,
        rng=random.Random(1),
    )


async def accept(site: Site, type: str, count: int, on: str = "k") -> list[OutboxEntry]:
    """Accept jobs and leave them in the outbox, as a client that dies at once does; return the outbox."""
    numbers = range(1, count + 1)
    await site.planes.store.submit([site.client.job(type, Step(on=on, number=number)) for number in numbers])
    return await outbox(site)


async def outbox(site: Site) -> list[OutboxEntry]:
    return list(await site.planes.store.outbox(older_than=-1, limit=10_000))


async def waiting(site: Site) -> int:
    """Return how many entries the outbox has."""
    return (await site.planes.inspection.counts()).outbox


async def delivered(site: Site, partition: Partition) -> list[int]:
    async with site.planes.broker.consume(partition, "me") as consumer:
        deliveries = await consumer.receive(10_000)
    return [delivery.envelope.sequence or 0 for delivery in deliveries if delivery.envelope]


def on(partition: Partition) -> str:
    """Return a key whose jobs go to a partition of two."""
    # By the lowest bit of their CRC.
    return "a" if partition.index == 1 else "d"


@in_virtual_time
async def test_entries_are_published_in_order_and_leave_the_outbox_only_then() -> None:
    """nothing-lost, order."""
    async with open_site(step, partitions=1) as site:
        entries = await accept(site, "step", 1_200)
        assert left(await relay(site).publish(entries)) == 0
        assert await outbox(site) == []
        assert await delivered(site, ZERO) == list(range(1, 1_201))
        # In bounded pieces that grow, and with one declaration.
        assert (site.faults.calls["broker.publish"], site.faults.calls["broker.declare"]) == (6, 1)


@pytest.mark.parametrize("fault", [lost_request, lost_reply], ids=["request lost", "reply lost"])
@pytest.mark.parametrize("operation", ["broker.declare", "broker.publish", "store.published"])
@in_virtual_time
async def test_whatever_is_lost_on_the_way_no_entry_is(operation: str, fault: Fault) -> None:
    """nothing-lost."""
    async with open_site(step, partitions=1) as site:
        entries = await accept(site, "step", 3)
        publishing = relay(site)
        site.faults.once(operation, fault)
        answers = await publishing.publish(entries)
        assert left(answers) == (0 if operation == "store.published" else 3)
        await site.clock.sleep(5)
        assert left(await publishing.publish(await outbox(site))) == 0
        assert (await delivered(site, ZERO))[-3:] == [1, 2, 3]
        assert await outbox(site) == []


@in_virtual_time
async def test_one_message_that_no_broker_takes_costs_its_neighbours_nothing() -> None:
    """nothing-lost."""
    async with open_site(step, partitions=1) as site:
        broker = answering(site)
        entries = await accept(site, "step", 10)
        broker.verdict = rejecting(entries[4].envelope.id)
        answers = await relay(site).publish(entries)
        assert [type(answer) for answer in answers] == [*[Published] * 4, Rejected, *[Published] * 5]
        assert [entry.envelope.sequence for entry in await outbox(site)] == [5]
        assert max(broker.published.values()) == 1


@pytest.mark.parametrize("trouble", [refusing, silent])
@in_virtual_time
async def test_a_partition_in_trouble_costs_another_nothing_but_one_wait(trouble: object) -> None:
    async with open_site(step, loose) as site:
        broker = answering(site)
        broker.verdict = trouble(ZERO)  # type: ignore[operator]
        publishing = relay(site)
        await accept(site, "step", 40, on=on(ZERO))
        entries = await accept(site, "step", 40, on=on(ONE))
        started = site.clock.now()
        answers = await publishing.publish(entries)
        assert [isinstance(answer, Published) for answer in answers] == [False] * 40 + [True] * 40
        assert len(await outbox(site)) == 40
        # Who submits waits for a sick queue once, then it is known.
        assert site.clock.now() - started <= 2.5
        started = site.clock.now()
        assert isinstance((await publishing.publish((await outbox(site))[:1]))[0], Deferred)
        assert site.clock.now() == started


@in_virtual_time
async def test_what_is_sick_is_probed_with_one_message_after_growing_pauses_and_taken_up_at_once_when_well() -> None:
    async with open_site(step) as site:
        broker = answering(site)
        broker.verdict = refusing(ZERO)
        publishing = relay(site)
        entries = await accept(site, "step", 100, on=on(ZERO))
        started = site.clock.now()
        while site.clock.now() - started < 300:
            await publishing.publish(entries)
            await site.clock.sleep(0.5)
        # The first window, then a probe every 15 seconds at most.
        assert broker.calls[0] == 32
        assert set(broker.calls[1:]) == {1}
        assert 20 <= len(broker.calls) <= 32
        broker.verdict = refusing()
        await site.clock.sleep(15)
        assert left(await publishing.publish(entries)) == 0
        assert (await delivered(site, ZERO)) == list(range(1, 101))
        assert len(site.witness.lines("partition cannot be published to")) == 1
        assert len(site.witness.lines("partition is published to again")) == 1
        assert site.witness.count("jobkit.publishing.held_up", {"kind": "refused"}) == 1


@in_virtual_time
async def test_a_broker_out_of_reach_is_asked_by_one_of_many_submits() -> None:
    async with open_site(step) as site:
        site.faults.always("broker.publish", lost_request)
        publishing = relay(site)
        entries = await accept(site, "step", 1)
        for _ in range(100):
            await publishing.publish(entries)
            await site.clock.sleep(0.1)
        assert site.faults.calls["broker.publish"] <= 10
        site.faults.heal()
        await site.clock.sleep(2)
        assert left(await publishing.publish(entries)) == 0


@in_virtual_time
async def test_a_broker_that_hangs_holds_a_submit_for_seconds_once() -> None:
    async def hang(call: object) -> None:
        await anyio.sleep_forever()

    async with open_site(step) as site:
        site.faults.always("broker.publish", hang)
        publishing = relay(site)
        entries = await accept(site, "step", 1)
        started = site.clock.now()
        assert isinstance((await publishing.publish(entries))[0], InDoubt)
        assert site.clock.now() - started <= 6
        started = site.clock.now()
        assert isinstance((await publishing.publish(entries))[0], Deferred)
        assert site.clock.now() == started


@in_virtual_time
async def test_many_that_publish_to_one_partition_wait_for_room_there_and_lose_nothing() -> None:
    async with open_site(step, partitions=1) as site:
        publishing = relay(site)
        entries = await accept(site, "step", 200)
        async with anyio.create_task_group() as tasks:
            for entry in entries:
                tasks.start_soon(publishing.publish, [entry])
        assert await outbox(site) == []


@in_virtual_time
async def test_a_type_that_cannot_be_published_is_in_no_other_types_way() -> None:
    """nothing-lost: its number of partitions is being changed."""
    async with open_site(step, loose) as site:
        await accept(site, "step", 2)
        entries = await accept(site, "loose", 2)
        publishing = relay(site)
        await site.planes.store.set_layout("step", None, Layout.first(2).changed(3))
        answers = await publishing.publish(entries)
        reasons = {answer.reason for answer in answers if isinstance(answer, Deferred)}
        assert reasons == {"the number of its type's partitions is being changed"}
        assert {entry.envelope.type for entry in await outbox(site)} == {"step"}


@in_virtual_time
async def test_after_a_change_jobs_are_published_in_the_turn_of_the_outbox_by_who_sweeps_it() -> None:
    """order."""
    async with open_site(step) as site:
        entries = await accept(site, "step", 3)
        await site.planes.store.set_layout("step", None, replace(Layout.first(1), gathered=frozenset({0})))
        publishing = relay(site)
        assert await publishing.publish(entries[2:]) == [GATHERED]
        assert len(await outbox(site)) == 3
        assert left(await publishing.publish(entries, swept=publishing.generation)) == 0
        assert await delivered(site, ZERO) == [1, 2, 3]


@in_virtual_time
async def test_where_a_partition_is_being_opened_what_is_older_of_a_key_is_published_first() -> None:
    """order: another process had left it in the outbox."""
    async with open_site(step) as site:
        await accept(site, "step", 2, on="other")
        entries = await accept(site, "step", 3)
        await site.planes.store.set_layout("step", None, replace(Layout.first(1), opening=frozenset({0})))
        assert len(await relay(site).publish(entries[3:4])) == 1
        assert [entry.envelope.sequence for entry in await outbox(site)] == [1, 2, 3]
        assert await delivered(site, ZERO) == [1, 2]


@in_virtual_time
async def test_where_a_partition_is_being_opened_nothing_is_published_while_the_store_is_silent() -> None:
    """order, nothing-lost."""
    async with open_site(step) as site:
        entries = await accept(site, "step", 1)
        await site.planes.store.set_layout("step", None, replace(Layout.first(1), opening=frozenset({0})))
        site.faults.once("store.outbox", lost_request)
        (answer,) = await relay(site).publish(entries)
        assert isinstance(answer, Deferred)
        assert left(await relay(site).publish(entries)) == 0


@in_virtual_time
async def test_where_a_partition_is_being_opened_and_the_outbox_is_long_what_is_new_is_left_to_who_sweeps_it() -> None:
    """order: what is older of its key may be behind all that is looked through."""
    async with open_site(step) as site:
        await accept(site, "step", 2_000, on="other")
        entries = await accept(site, "step", 2)
        await site.planes.store.set_layout("step", None, replace(Layout.first(1), opening=frozenset({0})))
        assert await relay(site).publish(entries[-1:]) == [GATHERED]
        assert await waiting(site) == 2_002
        await site.planes.store.published([entries[0].position, entries[1].position])
        (answer,) = await relay(site).publish(entries[-1:])
        assert isinstance(answer, Published)
        assert await delivered(site, ZERO) == [1, 2]


@in_virtual_time
async def test_a_layout_that_changes_while_it_is_looked_for_what_is_older_leaves_the_job_to_who_sweeps_it() -> None:
    """order, nothing-lost: a worker hears of it from a task of its own, and the key belongs to another partition."""
    async with open_site(step) as site:
        entries = await accept(site, "step", 1, on="a")
        opening = replace(Layout.first(1), opening=frozenset({0}))
        await site.planes.store.set_layout("step", None, opening)
        publishing = relay(site)

        async def heard() -> None:
            await site.planes.store.set_layout("step", opening, replace(Layout.first(2), version=2))
            await publishing._layouts.refresh(["step"])

        site.faults.once("store.outbox", before(heard))
        assert await publishing.publish(entries) == [GATHERED]
        assert await outbox(site) == entries
        assert left(await publishing.publish(entries)) == 0
        assert await delivered(site, ONE) == [1]


@in_virtual_time
async def test_where_a_partition_is_being_opened_what_is_older_is_published_whatever_its_priority() -> None:
    """nothing-lost."""
    errands = Errands()
    async with open_site(*errands.processors, partitions=1) as site:
        jobs = [
            site.client.job("errand", {"name": priority, "on": "k"}, priority=priority)
            for priority in (Priority.LOW, Priority.NORMAL, Priority.HIGH)
        ]
        await site.planes.store.submit(jobs)
        await site.planes.store.set_layout("errand", None, replace(Layout.first(1), opening=frozenset({0})))
        answers = await relay(site).publish((await outbox(site))[-1:])
        assert [type(answer) for answer in answers] == [Published]
        assert await outbox(site) == []
        (depth,) = await site.planes.broker.depths()
        assert depth.bands == dict.fromkeys(Priority, 1)


@in_virtual_time
async def test_where_no_number_of_partitions_changes_publishing_asks_the_store_for_layouts_once_a_second() -> None:
    """And never for what is older."""
    async with open_site(step, partitions=1) as site:
        entries = await accept(site, "step", 300)
        publishing = relay(site)
        for entry in entries:
            await publishing.publish([entry])
            await site.clock.sleep(0.01)
        assert await waiting(site) == 0
        # Two more for the type's first one, which is made.
        assert site.faults.calls["store.layouts"] <= 3 + 2
        assert site.faults.calls["store.outbox"] == 0


def test_a_pace_grows_while_all_is_well_and_pauses_longer_while_it_is_not() -> None:
    pace = Pace(random.Random(1))
    rooms = []
    for _ in range(6):
        rooms.append(pace.room(0.0))
        pace.went_well()
    assert rooms == [32, 64, 128, 256, 500, 500]
    now, pauses = 0.0, []
    for _ in range(8):
        pace.went_wrong(now)
        started = now
        while pace.waits(now):
            now += 0.01
        assert pace.room(now) == 1
        pauses.append(now - started)
    assert pauses == sorted(pauses[:6]) + pauses[6:]
    assert 0.3 < pauses[0] < 0.6
    assert 11 < pauses[-1] <= 15.1
