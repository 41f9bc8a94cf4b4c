"""The gauges: what a worker shows of itself and of the store, to those who read, and to nobody else."""

from __future__ import annotations

from jobkit.model.envelope import Envelope
from jobkit.model.partition import Partition, partition_of
from tests.faults.doubles import Faults, lost_request
from tests.steps import Step, loose, step
from tests.virtual_site import Site, in_virtual_time, open_site


def _gauge(site: Site, name: str, **attributes: str) -> float | None:
    found = [point.value for point in site.witness.points(name) if attributes.items() <= dict(point.attributes).items()]
    assert len(found) <= 1
    return found[0] if found else None


async def _look(site: Site) -> None:
    """Read, so that it is looked, and wait until it was."""
    site.witness.points("jobkit.waiting.age")
    await site.clock.sleep(5)


@in_virtual_time
async def test_the_oldest_job_that_waits_tells_its_age_and_one_that_runs_does_not() -> None:
    async with open_site(step, concurrency=1) as site:
        site.start()
        await site.client.submit("step", Step(on="k1", seconds=60))
        await site.clock.sleep(1)
        await site.client.submit("step", Step(on="k2", seconds=60))
        await site.clock.sleep(20)
        await _look(site)
        waiting = _gauge(site, "jobkit.waiting.age", type="step")
        assert waiting is not None
        assert 20 <= waiting <= 26
        assert _gauge(site, "jobkit.jobs.running", type="step") == 1
        assert _gauge(site, "jobkit.leases.held", kind="job") == 1
        assert _gauge(site, "jobkit.leases.held", kind="leader") == 2
        assert _gauge(site, "jobkit.partitions.led", type="step") == 2
        assert _gauge(site, "jobkit.partitions", type="step") == 2
        assert _gauge(site, "jobkit.consumers.open", type="step") == 2


@in_virtual_time
async def test_lag_is_seen_while_nothing_is_processed() -> None:
    """The store is away: no job commits, so nothing is measured, and the age grows all the same."""
    async with open_site(step) as site:
        site.start()
        await site.client.submit("step", Step())
        await site.at_rest()
        site.faults.always("store.open", lost_request)
        await site.client.submit("step", Step(number=2))
        await site.clock.sleep(60)
        await _look(site)
        waiting = _gauge(site, "jobkit.waiting.age", type="step")
        assert waiting is not None
        assert waiting > 55
        site.faults.heal()


@in_virtual_time
async def test_a_message_without_a_time_waits_since_it_arrived() -> None:
    async with open_site(loose, concurrency=1) as site:
        site.start()
        await site.client.submit("loose", Step(on="busy", seconds=60))
        await site.clock.sleep(1)
        body = Step(on="k2").model_dump_json().encode()
        right = Partition("loose", partition_of("k2", 2))
        await site.planes.broker.publish([(right, Envelope("foreign", "loose", body))])
        await site.clock.sleep(10)
        await _look(site)
        waiting = _gauge(site, "jobkit.waiting.age", type="loose")
        assert waiting is not None
        assert 10 <= waiting <= 16


@in_virtual_time
async def test_an_outbox_that_nobody_publishes_tells_its_age() -> None:
    async with open_site(step) as site:
        site.faults.always("broker.publish", lost_request)
        site.start()
        new = site.client.job("step", Step())
        await site.planes.store.submit([new])
        await site.clock.sleep(30)
        await _look(site)
        age = _gauge(site, "jobkit.outbox.age")
        assert age is not None
        assert 25 <= age <= 40
        assert _gauge(site, "jobkit.store.outbox") == 1
        assert _gauge(site, "jobkit.store.jobs", state="queued") == 1
        site.faults.heal()


@in_virtual_time
async def test_the_store_is_asked_by_one_worker_and_only_while_somebody_reads() -> None:
    async with open_site(step) as site:
        ones, others = Faults(site.clock), Faults(site.clock)
        site.start("a", faults=ones)
        site.start("b", faults=others)
        await site.clock.sleep(300)
        assert ones.calls["store.counts"] == others.calls["store.counts"] == 0
        await _look(site)
        asked = [faults.calls["store.counts"] for faults in (ones, others)]
        assert sorted(asked) == [0, 1]
        await site.clock.sleep(200)
        # A reader that does not come back is forgotten.
        then = ones.calls["store.counts"] + others.calls["store.counts"]
        assert 5 < then < 30
        await site.clock.sleep(200)
        assert ones.calls["store.counts"] + others.calls["store.counts"] == then


@in_virtual_time
async def test_a_store_that_does_not_answer_is_shown_by_nothing_rather_than_by_old_numbers() -> None:
    async with open_site(step) as site:
        site.start()
        await site.clock.sleep(1)
        await _look(site)
        assert _gauge(site, "jobkit.store.keys") == 0
        site.faults.always("store.counts", lost_request)
        for _ in range(4):
            await _look(site)
        assert _gauge(site, "jobkit.store.keys") is None
        assert site.witness.count("jobkit.connections.lost", {"plane": "store"}) > 0
        site.faults.heal()


@in_virtual_time
async def test_the_silence_of_the_coordinator_grows() -> None:
    async with open_site(step) as site:
        site.start()
        await site.clock.sleep(1)
        site.faults.always("coordinator.*", lost_request)
        await site.clock.sleep(20)
        await _look(site)
        silence = _gauge(site, "jobkit.coordinator.silence")
        assert silence is not None
        assert silence > 15
        site.faults.heal()


@in_virtual_time
async def test_a_worker_that_ended_shows_nothing() -> None:
    async with open_site(step) as site:
        worker = site.start()
        await site.clock.sleep(1)
        assert _gauge(site, "jobkit.partitions", type="step") == 2
        await worker.drain()
        assert _gauge(site, "jobkit.partitions", type="step") is None
