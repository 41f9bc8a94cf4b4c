"""A worker killed when its job is 90 % done: the next one resumes there, with what the first one had prepared."""

from __future__ import annotations

import json
from pathlib import Path

from jobkit.ops.blob_garbage import sweep
from jobkit.ops.verify import verify
from jobkit.ports.inspection import JobState
from tests.acceptance.plugin import Step
from tests.acceptance.site import open_site, until


async def test_a_job_killed_at_90_percent_resumes_at_its_checkpoint(tmp_path: Path) -> None:
    async with open_site(tmp_path) as site:
        submitted = await site.client.submit("test.resuming", Step(on="one", number=1))
        first = site.start("test.resuming")

        async def at_90_percent() -> bool:
            return (await site.client.status(submitted.id)).progress >= 0.9

        await until(at_90_percent, within=60, what="the first worker is at 90 %")
        killed = (await site.client.status(submitted.id)).owner
        first.kill()
        assert [one.step for one in await site.planes.store.checkpoints(submitted.id)] == ["prepare", ""]
        await sweep(site.planes, remove=True)

        site.start("test.resuming")
        async for record in site.client.watch(submitted.id, timeout=90):
            after = record
        assert after.state is JobState.COMMITTED, after
        assert (after.opens, after.owner == killed) == (2, False)
        assert json.loads(after.result or b"") == [killed, after.owner]
        log = await site.planes.inspection.log("test.resuming", "one")
        assert [json.loads(entry.data)["number"] for entry in log] == list(range(90, 100))
        files = await site.client.files("test.resuming", "one")
        assert [(file.name, file.job_id) for file in files] == [("prepared", submitted.id)]
        assert await files.read("prepared") == (killed or "").encode()
        assert await site.planes.store.checkpoints(submitted.id) == []
        assert (await verify(site.planes)).findings == []
