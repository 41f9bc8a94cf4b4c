"""Partitions work again after their leader has gone, on real servers, and by what means.

How soon is said, not judged: `make campaign` prints it.
"""

from __future__ import annotations

import itertools
import signal
import time
from pathlib import Path

import pytest

from jobkit.model.partition import Partition, partition_of
from tests.acceptance.site import until
from tests.campaign.cluster import Cluster, Seat, open_cluster
from tests.campaign.names import TYPE
from tests.campaign.plugin import Step

PARTITIONS = 8
# Long enough for any machine.
PATIENCE_SECONDS = 60.0


async def _led_by(cluster: Cluster, seat: Seat) -> list[int]:
    """Return the partitions that a worker leads."""
    leases = await cluster.site.planes.coordinator.leases("leader/")
    resources = {lease.resource for lease in leases if f":{seat.process.pid}:" in lease.owner}
    return [index for index in range(PARTITIONS) if Partition(TYPE, index).resource in resources]


async def _shared_evenly(cluster: Cluster) -> bool:
    return {len(await _led_by(cluster, seat)) for seat in cluster.seats} == {PARTITIONS // len(cluster.seats)}


async def _work_again(cluster: Cluster, partitions: list[int]) -> None:
    """Submit a job to each of the partitions, and say how long it took until all were committed."""
    started = time.monotonic()
    keys: dict[int, str] = {}
    for number in itertools.count():
        keys.setdefault(partition_of(f"key-{number}", PARTITIONS), f"key-{number}")
        if len(keys) == PARTITIONS:
            break
    jobs = [cluster.site.client.job(TYPE, Step(on=keys[partition], number=1)) for partition in partitions]
    await cluster.site.client.submit_many(jobs)

    async def all_committed() -> bool:
        return all([(await cluster.site.client.status(job.envelope.id)).state.ended for job in jobs])

    await until(all_committed, within=PATIENCE_SECONDS, what=f"partitions {partitions} work again")
    print(f"{len(partitions)} partitions work again after {time.monotonic() - started:.2f} s")


@pytest.mark.slow
async def test_a_killed_leaders_partitions_work_again_once_its_leases_have_ended(tmp_path: Path) -> None:
    """nothing-lost."""
    async with open_cluster(tmp_path, "redis", workers=2, supervised=False) as cluster:
        await until(lambda: _shared_evenly(cluster), within=PATIENCE_SECONDS, what="both lead their share")
        orphaned = await _led_by(cluster, cluster.seats[0])
        cluster.kill(cluster.seats[0])
        await _work_again(cluster, orphaned)


async def test_a_leaving_leaders_partitions_work_again(tmp_path: Path) -> None:
    """That nobody waits for the leases to end is seen in virtual time, in `test_worker_leadership`."""
    async with open_cluster(tmp_path, "redis", workers=2, supervised=False) as cluster:
        await until(lambda: _shared_evenly(cluster), within=PATIENCE_SECONDS, what="both lead their share")
        left = await _led_by(cluster, cluster.seats[0])
        cluster.seats[0].process.signal(signal.SIGTERM)
        await _work_again(cluster, left)
        assert cluster.seats[0].process.process.wait(PATIENCE_SECONDS) == 0
