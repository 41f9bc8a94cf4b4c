"""The sweeper in virtual time: what was left behind is published, once, and in nobody's way."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio

from jobkit.client.layouts import Layouts
from jobkit.client.outbox_sweeper import Sweeper
from jobkit.model.envelope import Envelope
from jobkit.model.layout import Layout
from jobkit.model.partition import Partition
from jobkit.ports.inspection import JobState
from jobkit.worker.queue_rebuild_check import Coverage
from tests.client.test_relay import ONE, ZERO, accept, answering, delivered, on, outbox, relay, waiting
from tests.faults.answers import refusing, rejecting, silent
from tests.faults.doubles import faulty_planes, lost_request
from tests.steps import loose, step
from tests.virtual_site import Site, in_virtual_time, open_site


def layouts_of(site: Site) -> Layouts:
    return Layouts(site.planes.store, site.settings.partitions, site.clock)


async def never(envelope: Envelope, reason: str) -> bool:
    return False


def everything(partition: Partition) -> bool:
    return True


@asynccontextmanager
async def sweeping(site: Site, sweeps: Callable[[Partition], bool] = everything) -> AsyncIterator[Sweeper]:
    """Run a sweeper during the block."""
    planes = faulty_planes(site.planes, site.faults)
    sweeper = Sweeper(
        relay(site),
        planes.store,
        planes.broker,
        grace=site.settings.relay_grace,
        sweeps=sweeps,
        bury=never,
        covered=Coverage(planes.store, planes.inspection, layouts_of(site)).complete,
        clock=site.clock,
        telemetry=site.witness.telemetry,
    )
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(sweeper.run)
        yield sweeper
        tasks.cancel_scope.cancel()


async def none_left(site: Site) -> bool:
    return await waiting(site) == 0


@in_virtual_time
async def test_any_number_of_jobs_that_cannot_be_published_hide_none_that_can() -> None:
    """nothing-lost."""
    async with open_site(step, loose, relay_grace=1) as site:
        await site.planes.store.set_layout("step", None, Layout.first(2).changed(3))
        await accept(site, "step", 600)
        await accept(site, "loose", 2)

        async def only_stuck() -> bool:
            return {entry.envelope.type for entry in await outbox(site)} == {"step"}

        async with sweeping(site):
            await site.until(only_stuck)
        assert len(await outbox(site)) == 600


@in_virtual_time
async def test_behind_600_stuck_entries_another_partition_is_published_at_once_and_each_of_its_messages_once() -> None:
    async with open_site(step, relay_grace=2) as site:
        broker = answering(site)
        broker.verdict = silent(ZERO)
        await accept(site, "step", 600, on=on(ZERO))
        async with sweeping(site):
            # Until the trouble is known.
            await site.clock.sleep(30)
            waits = []
            for _ in range(8):
                await accept(site, "step", 10, on=on(ONE))

                async def healthy_gone() -> bool:
                    return await waiting(site) == 600

                waits.append(await site.until(healthy_gone))
            assert max(waits) <= 2 * site.settings.relay_grace + 0.5
            healthy = [entry for entry in broker.published if broker.published[entry] == 1]
            assert len(healthy) >= 80
            # The stuck ones: one window when it began, since then a probe with one of them now and then.
            stuck = {entry.envelope.id for entry in await outbox(site)}
            assert sum(broker.published[id] for id in stuck) <= 32 + 1 + site.clock.now() / 5
            broker.verdict = silent()
            took = await site.until(lambda: none_left(site))
            assert took <= 22
        assert await delivered(site, ZERO) == list(range(1, 601))


@in_virtual_time
async def test_a_long_outbox_that_is_stuck_is_not_read_again_and_again() -> None:
    async with open_site(step, relay_grace=1) as site:
        broker = answering(site)
        broker.verdict = refusing(ZERO)
        await accept(site, "step", 2_600, on=on(ZERO))
        async with sweeping(site):
            await site.clock.sleep(20)
            before = site.faults.calls["store.outbox"]
            await site.clock.sleep(100)
            # 6 pages in each of 100 looks would be 600.
            assert site.faults.calls["store.outbox"] - before < 350


@in_virtual_time
async def test_of_several_each_publishes_what_is_its_own_and_takes_over_what_becomes_its_own() -> None:
    async with open_site(step, relay_grace=1) as site:
        broker = answering(site)
        await accept(site, "step", 50, on=on(ZERO))
        await accept(site, "step", 50, on=on(ONE))
        mine = {ONE}
        async with sweeping(site, lambda partition: partition in mine):
            await site.clock.sleep(30)
            assert await waiting(site) == 50
            mine.add(ZERO)
            assert await site.until(lambda: none_left(site)) <= 2.1
        assert set(broker.published.values()) == {1}


@in_virtual_time
async def test_four_workers_publish_a_backlog_once() -> None:
    """It was 8,000 messages for 2,000 jobs."""
    async with open_site(step, loose, relay_grace=1, partitions=8) as site:
        broker = answering(site)
        for key in "abcdefghij":
            await accept(site, "step", 10, on=key)
        # Of a type that none of the workers serves.
        for key in "abcdefghij":
            await accept(site, "loose", 50, on=key)
        for owner in "wxyz":
            site.start(owner, types=["step"])
        await site.until(lambda: none_left(site))
        assert len(broker.published) == 600
        # A partition that changes hands in the first second may be published by both.
        assert sum(broker.published.values()) <= 660


@in_virtual_time
async def test_what_no_broker_takes_is_dead_lettered_with_the_reason_in_its_turn() -> None:
    """nothing-lost: it was accepted, so it commits or is a dead letter; what is behind it is told."""
    async with open_site(step, relay_grace=1, partitions=1) as site:
        broker = answering(site)
        entries = await accept(site, "step", 3)
        broker.verdict = rejecting(entries[1].envelope.id)
        site.start()
        record = await site.ended(entries[1].envelope.id)
        assert record.state is JobState.DEAD
        (letter,) = await site.planes.inspection.dead()
        assert (letter.id, letter.reason) == (entries[1].envelope.id, "cannot be published: too large")
        await site.until(lambda: none_left(site))
        assert (await site.ended(entries[0].envelope.id)).state is JobState.COMMITTED
        # Behind a dead letter an ordered key stands, until a person has decided.
        assert (await site.ended(entries[2].envelope.id)).state is JobState.PARKED
        # It is not sent again while its turn has not come.
        assert broker.published[entries[1].envelope.id] == 1


@in_virtual_time
async def test_a_queue_that_never_confirms_is_made_anew_by_its_leader_and_then_published_to_at_once() -> None:
    async with open_site(step, relay_grace=1) as site:
        broker = answering(site)
        broker.verdict = silent(ZERO)
        await accept(site, "step", 10, on=on(ZERO))
        async with sweeping(site):
            await site.clock.sleep(20)
            broker.rebuilds, broker.verdict = True, silent()
            broker.verdict = lambda partition, envelope: (
                silent(ZERO)(partition, envelope) if not broker.rebuilt else None
            )
            await site.until(lambda: none_left(site))
        assert broker.rebuilt == [ZERO]
        assert site.witness.count("jobkit.publishing.held_up", {"kind": "rebuilt"}) == 1


@in_virtual_time
async def test_a_queue_may_go_only_while_the_store_has_all_that_may_be_in_it() -> None:
    """nothing-lost."""
    async with open_site(step) as site:
        coverage = Coverage(site.planes.store, site.planes.inspection, layouts_of(site))
        here, there = await accept(site, "step", 2, on=on(ZERO)), await accept(site, "step", 1, on=on(ONE))
        assert await coverage.complete(ZERO)
        # The other partition's affair.
        await site.planes.store.published([there[-1].position])
        assert await coverage.complete(ZERO)
        assert not await coverage.complete(ONE)
        # Its message was confirmed, and may be in that queue.
        await site.planes.store.published([here[0].position])
        assert not await coverage.complete(ZERO)
        await site.planes.store.shelve(here[0].envelope, ZERO)
        assert await coverage.complete(ZERO)


@in_virtual_time
async def test_a_worker_publishes_what_others_left_behind_after_the_grace() -> None:
    """nothing-lost: a client died between accepting and publishing."""
    async with open_site(step, relay_grace=5) as site:
        await accept(site, "step", 3)
        started = site.clock.now()
        site.start()
        await site.until(lambda: site.witness.count("jobkit.jobs", {"outcome": "committed"}) == 3)
        assert site.clock.now() - started >= 5
        assert await site.log("step", "k") == [f'{{"number":{number}}}' for number in (1, 2, 3)]


@in_virtual_time
async def test_a_worker_goes_on_after_every_kind_of_trouble() -> None:
    async with open_site(step, relay_grace=1) as site:
        site.faults.once("store.outbox", lost_request, lost_request)
        site.faults.once("broker.publish", lost_request)
        await accept(site, "step", 3)
        site.start()
        await site.until(lambda: site.witness.count("jobkit.jobs", {"outcome": "committed"}) == 3)
        assert site.witness.count("jobkit.connections.lost") == 3


@in_virtual_time
async def test_what_a_commit_released_is_published_at_once_and_again_by_a_sweep_where_that_failed() -> None:
    async with open_site(step, relay_grace=60) as site:
        entries = await accept(site, "step", 3)
        async with sweeping(site) as sweeper:
            sweeper.hand([])
            sweeper.hand(entries)
            assert await site.until(lambda: none_left(site)) < 1
            site.faults.once("broker.publish", lost_request)
            sweeper.hand(await accept(site, "step", 1, on="other"))
            assert await site.until(lambda: none_left(site), within=200) > 60


@in_virtual_time
async def test_what_was_found_before_a_partition_was_this_process_s_goes_before_what_is_found_next() -> None:
    """order: it begins to sweep the partition in the middle of a look."""
    async with open_site(step, relay_grace=1) as site:
        await site.planes.broker.declare("step", 2)
        await accept(site, "step", 60, on=on(ZERO))
        asked: list[Partition] = []

        def sweeps(partition: Partition) -> bool:
            # Not as it comes to the first one.
            asked.append(partition)
            return len(asked) > 1

        async with sweeping(site, sweeps):
            await site.until(lambda: none_left(site))
        assert await delivered(site, ZERO) == list(range(1, 61))
