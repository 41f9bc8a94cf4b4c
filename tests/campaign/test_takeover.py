"""How soon partitions work again after their leader has gone, on real servers. These are promises about time."""

from __future__ import annotations

import itertools
import signal
import time
from pathlib import Path

import pytest

from jobkit.partition import Partition, partition_of
from tests.acceptance.site import until
from tests.campaign.cluster import Cluster, Seat, open_cluster
from tests.campaign.names import TYPE
from tests.campaign.plugin import Step

PARTITIONS = 8
# What a machine may add that has more to do than to run this.
LATENESS_SECONDS = 2.0


async def _led_by(cluster: Cluster, seat: Seat) -> list[int]:
    """Return the partitions that a worker leads."""
    leases = await cluster.site.planes.coordinator.leases("leader/")
    resources = {lease.resource for lease in leases if f":{seat.process.pid}:" in lease.owner}
    return [index for index in range(PARTITIONS) if Partition(TYPE, index).resource in resources]


async def _shared_evenly(cluster: Cluster) -> bool:
    return {len(await _led_by(cluster, seat)) for seat in cluster.seats} == {PARTITIONS // len(cluster.seats)}


async def _work_again(cluster: Cluster, partitions: list[int], within: float) -> None:
    """Submit a job to each of the partitions and wait until all are committed."""
    keys: dict[int, str] = {}
    for number in itertools.count():
        keys.setdefault(partition_of(f"key-{number}", PARTITIONS), f"key-{number}")
        if len(keys) == PARTITIONS:
            break
    jobs = [cluster.site.client.job(TYPE, Step(on=keys[partition], number=1)) for partition in partitions]
    await cluster.site.client.submit_many(jobs)

    async def all_committed() -> bool:
        return all([(await cluster.site.client.status(job.envelope.id)).state.ended for job in jobs])

    await until(all_committed, within=within, what=f"partitions {partitions} work again")


@pytest.mark.slow
async def test_a_killed_leaders_partitions_work_again_within_a_lease_and_one_retry(tmp_path: Path) -> None:
    """nothing-lost."""
    ttl = 6.0
    settings = {"LEASE_TTL": f"{ttl}", "LEASE_GUARD": "1"}
    async with open_cluster(tmp_path, "redis", workers=2, supervised=False, settings=settings) as cluster:
        await until(lambda: _shared_evenly(cluster), within=30, what="both lead their share")
        orphaned = await _led_by(cluster, cluster.seats[0])
        cluster.kill(cluster.seats[0])
        retry = ttl / 3
        await _work_again(cluster, orphaned, ttl + retry + LATENESS_SECONDS)


async def test_a_leaving_leaders_partitions_work_again_within_a_second_under_the_default_terms(tmp_path: Path) -> None:
    async with open_cluster(tmp_path, "redis", workers=2, supervised=False) as cluster:
        await until(lambda: _shared_evenly(cluster), within=60, what="both lead their share")
        left = await _led_by(cluster, cluster.seats[0])
        started = time.monotonic()
        cluster.seats[0].process.signal(signal.SIGTERM)
        await _work_again(cluster, left, 1.0 + LATENESS_SECONDS)
        assert time.monotonic() - started < 1.0 + LATENESS_SECONDS
