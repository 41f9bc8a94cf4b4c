"""The store is restored from a backup while workers run: what was done since the backup is done again, by itself.

What was accepted after the backup is gone with the store; so all of it is accepted before, and done after.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from jobkit.ports.inspection import JobState
from tests.acceptance.site import Site, open_site, until
from tests.campaign.checker import findings, left_to_do
from tests.campaign.names import TYPE
from tests.campaign.plugin import Step
from tests.campaign.schedule import PLANES
from tests.campaign.servers import STORES, StoreKind, open_servers

_KEYS, _EACH = 20, 10
_WORKERS = 2
_PATIENCE_SECONDS = 90.0


async def _accepted(site: Site) -> dict[str, list[str]]:
    """Submit jobs; return their ids by key, in their order."""
    ids: dict[str, list[str]] = {f"key-{key}": [f"{key}-{number}" for number in range(_EACH)] for key in range(_KEYS)}
    jobs = [
        site.client.job(TYPE, Step(on=key, number=1 + number), id=id)
        for key, those in ids.items()
        for number, id in enumerate(those)
    ]
    await site.client.submit_many(jobs)
    # All of them count as published, however slow the broker was: nothing but their messages brings them to a worker.
    left = await site.planes.store.outbox(older_than=-1, limit=len(jobs))
    await site.planes.store.published([entry.position for entry in left])
    return ids


@pytest.mark.slow
@pytest.mark.parametrize("store", STORES)
async def test_jobs_done_after_the_backup_run_again_without_a_hand(store: StoreKind, tmp_path: Path) -> None:
    """nothing-lost, order: single-effect, in the store that there is."""
    async with open_servers(store) as servers:
        urls = {f"{plane.upper()}_URL": servers.url(plane) for plane in PLANES}
        terms = {"LEASE_TTL": "3", "LEASE_GUARD": "0.5", "REPUBLISH_SECONDS": "1", "PARTITIONS": "2"}
        async with open_site(tmp_path, PLUGINS="tests.campaign.plugin", **urls, **terms) as site:
            ids = await _accepted(site)
            backup = await servers.back_up_store(tmp_path)
            workers = [site.start(TYPE) for _ in range(_WORKERS)]

            async def all_done() -> bool:
                return not await left_to_do(site.planes, _KEYS * _EACH)

            await until(all_done, within=_PATIENCE_SECONDS, what="every job is done")
            await servers.restore_store(backup)
            assert (await site.planes.inspection.counts()).jobs.get(JobState.COMMITTED, 0) < _KEYS * _EACH
            await until(all_done, within=_PATIENCE_SECONDS, what="every job is done again")
            assert await findings(site.planes, ids) == []
            assert [worker.process.poll() for worker in workers] == [None] * _WORKERS
            lost = "broker lost messages, their jobs are published again"
            assert any(worker.said(lost) for worker in workers)
