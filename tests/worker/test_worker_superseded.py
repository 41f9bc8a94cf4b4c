"""A whole worker in virtual time: messages of jobs that the store has lost, and whose sequences it gave out again."""

from __future__ import annotations

from collections.abc import Sequence

from jobkit.model.envelope import Envelope
from jobkit.model.partition import Partition, partition_of
from jobkit.ops.verify import verify
from jobkit.ports.rules import SUPERSEDED
from tests.steps import Step, step
from tests.virtual_site import Site, in_virtual_time, open_site


async def _lost_messages(site: Site, numbers: Sequence[int]) -> None:
    """Leave the messages of jobs in the broker that the store knows nothing of, as after an asynchronous failover."""
    await site.planes.broker.declare("step", site.settings.partitions)
    partition = Partition("step", partition_of("k", site.settings.partitions))
    lost = [
        Envelope(f"lost-{number}", "step", Step(number=-number).model_dump_json().encode(), "k", number)
        for number in numbers
    ]
    await site.planes.broker.publish([(partition, envelope) for envelope in lost])


async def _newer(site: Site, count: int) -> None:
    for number in range(1, count + 1):
        await site.client.submit("step", Step(number=number), id=f"newer-{number}")


def _effects(log: Sequence[str]) -> list[int]:
    return [int(entry.split(":")[1].rstrip("}")) for entry in log]


@in_virtual_time
async def test_newer_jobs_win_and_those_that_the_store_lost_are_told_and_can_go_behind() -> None:
    """single-effect, order, loud: nothing accepted by the store that there is dies, and no key stands still."""
    async with open_site(step) as site:
        await _lost_messages(site, [1, 2, 3])
        await _newer(site, 2)
        site.start()
        await site.until(lambda: _dead(site, 2))
        await site.until(lambda: _committed(site, 3))
        # Whose sequence nobody else was given keeps it.
        assert _effects(await site.log("step", "k")) == [1, 2, -3]
        assert await site.reasons() == [SUPERSEDED] * 2
        assert site.witness.count("jobkit.superseded") == 2
        letters = await site.planes.inspection.dead()
        assert sorted(letter.id or "" for letter in letters) == ["lost-1", "lost-2"]
        (finding,) = (await verify(site.planes, clock=site.clock)).findings
        assert (finding.invariant, finding.where) == ("nothing-lost", "step/k")
        assert "jobkit dead requeue" in finding.problem
        for letter in letters:
            assert await site.planes.inspection.requeue_dead(letter.number) is not None
        await site.until(lambda: _committed(site, 5))
        assert sorted(_effects(await site.log("step", "k"))[3:]) == [-2, -1]
        assert (await verify(site.planes, clock=site.clock)).findings == []
        await site.at_rest()


async def _dead(site: Site, count: int) -> bool:
    return (await site.planes.inspection.counts()).dead == count


async def _committed(site: Site, count: int) -> bool:
    return site.witness.count("jobkit.jobs", {"outcome": "committed"}) == count
