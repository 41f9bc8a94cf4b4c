"""Cancelled wherever it is, on real servers: a job never commits, and its key goes on."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from jobkit.ops.verify import verify
from jobkit.ports.inspection import JobState
from tests.acceptance.site import until
from tests.campaign.cluster import Cluster, open_cluster
from tests.campaign.names import TYPE
from tests.campaign.plugin import Step
from tests.campaign.servers import STORES, StoreKind

# Long enough for any machine.
PATIENCE_SECONDS = 180.0


async def _comes_to(cluster: Cluster, id: str, state: JobState, *, failures: int = 0) -> None:
    async def there() -> bool:
        record = await cluster.site.client.status(id)
        return record.state is state and len(record.failures) >= failures

    await until(there, within=PATIENCE_SECONDS, what=f"{id} is {state} with {failures} failures")


@pytest.mark.slow
@pytest.mark.parametrize("store", STORES)
async def test_a_job_is_cancelled_wherever_it_is_and_its_key_goes_on(store: StoreKind, tmp_path: Path) -> None:
    finish = tmp_path / "finish"
    settings = {"LEASE_TTL": "2", "LEASE_GUARD": "0.4", "GAP_HOLD": "0.5", "RELAY_GRACE": "1"}
    async with open_cluster(tmp_path, store, workers=1, supervised=False, settings=settings) as cluster:
        client = cluster.site.client

        async def submit(key: str, *, after: float = 0, fails: str = "", until: Path | None = None) -> None:
            step = Step(on=key, number=1, until=until, fails=fails)  # type: ignore[arg-type]
            await client.submit(TYPE, step, id=key, after=timedelta(seconds=after) if after else None)

        # A worker that runs may hear of a pause a moment later: the one that begins afterwards knows it.
        cluster.kill(cluster.seats[0])
        await client.pause(TYPE, key="queued", reason="so that it stays there")
        await submit("queued")
        cluster.start(0, cluster.seats[0].ways)
        await submit("scheduled", after=3600)
        await submit("retrying", fails="retry")
        await client.submit(TYPE, Step(on="parked", number=0, fails="reject"), id="dead")
        await submit("parked")
        await submit("running", until=finish)
        await submit("behind", until=finish)
        await client.submit(TYPE, Step(on="behind", number=2), id="held")
        await _comes_to(cluster, "retrying", JobState.QUEUED, failures=1)
        await _comes_to(cluster, "parked", JobState.PARKED)
        for id in ("running", "behind"):
            await _comes_to(cluster, id, JobState.RUNNING)
        await submit("gone", until=finish)
        await _comes_to(cluster, "gone", JobState.RUNNING)
        told = ["queued", "scheduled", "retrying", "parked", "running", "held"]
        for id in told:
            assert (await client.cancel(id, reason="not wanted")).cancelled, id

        # Whose worker is gone is cancelled before anybody has noticed that.
        cluster.kill(cluster.seats[0])
        assert (await client.cancel("gone", reason="not wanted")).cancelled
        finish.touch()
        cluster.start(0, cluster.seats[0].ways)
        assert await client.resume(TYPE, key="queued") is not None
        await cluster.site.planes.inspection.skip_gap(TYPE, "parked", before=2)
        keys = ["queued", "scheduled", "retrying", "parked", "running", "gone", "behind"]
        following = [client.job(TYPE, Step(on=key, number=9), id=f"{key}-next") for key in keys]
        await client.submit_many(following)
        for job in [*following, client.job(TYPE, Step(on="behind", number=1), id="behind")]:
            await _comes_to(cluster, job.envelope.id, JobState.COMMITTED)
        for id in [*told, "gone"]:
            record = await client.status(id)
            assert (record.state, record.reason) == (JobState.CANCELLED, "not wanted"), id
        inspection = cluster.site.planes.inspection
        effects = {key: [entry.job_id for entry in await inspection.log(TYPE, key)] for key in keys}
        assert effects == {key: ["behind"] * (key == "behind") + [f"{key}-next"] for key in keys}
        await inspection.purge_dead((await inspection.dead())[0].number)
        assert (await verify(cluster.site.planes)).findings == []
