"""The store loses its last moments and the broker has their messages, as after a restore from a backup."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.acceptance.site import open_site
from tests.campaign.lost_moments import check_newer_jobs_win
from tests.campaign.schedule import PLANES
from tests.campaign.servers import STORES, StoreKind, open_servers


@pytest.mark.slow
@pytest.mark.parametrize("store", STORES)
async def test_newer_jobs_win_over_those_that_the_store_lost_and_these_can_go_behind(
    store: StoreKind, tmp_path: Path
) -> None:
    """nothing-lost, single-effect, order."""
    async with open_servers(store) as servers:
        urls = {f"{plane.upper()}_URL": servers.url(plane) for plane in PLANES}
        terms = {"LEASE_TTL": "3", "LEASE_GUARD": "0.5", "PARTITIONS": "2"}
        async with open_site(tmp_path, PLUGINS="tests.campaign.plugin", **urls, **terms) as site:
            backup = tmp_path / "backup"
            await check_newer_jobs_win(
                site, lambda: servers.back_up_store(tmp_path), lambda: servers.restore_store(backup)
            )
