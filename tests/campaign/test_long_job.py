"""A job of long duration, and a broker that is restarted under it."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from jobkit.ports.inspection import JobState
from tests.acceptance.site import until
from tests.campaign.cluster import open_cluster
from tests.campaign.names import TYPE
from tests.campaign.plugin import Step


@pytest.mark.slow
async def test_a_long_job_goes_on_while_the_broker_is_restarted_and_commits_once(tmp_path: Path) -> None:
    """single-effect: the job hangs on its lease, not on its delivery."""
    finish = tmp_path / "finish"
    settings = {"LEASE_TTL": "3", "LEASE_GUARD": "0.5"}
    async with open_cluster(tmp_path, "redis", workers=1, settings=settings) as cluster:
        client, planes = cluster.site.client, cluster.site.planes
        job = await client.submit(TYPE, Step(on="one", number=1, until=finish))

        async def begun() -> bool:
            return (await client.status(job.id)).state is JobState.RUNNING

        await until(begun, within=30, what="the job runs")
        before = await client.status(job.id)
        await cluster.servers.restart("broker")
        # Another job shows that the worker consumes again; the long one has been delivered again by then, if ever.
        after = await client.submit(TYPE, Step(on="two", number=1))
        async for _ in client.watch(after.id, timeout=60):
            pass
        await anyio.Path(finish).touch()
        async for record in client.watch(job.id, timeout=30):
            last = record
        assert last.state is JobState.COMMITTED
        assert (last.opens, last.token, last.owner) == (1, before.token, before.owner)
        assert len(await planes.inspection.log(TYPE, "one")) == 1

        async def acked() -> bool:
            return not any(depth.ready for depth in await planes.broker.depths())

        await until(acked, within=30, what="what was delivered again is acked")
