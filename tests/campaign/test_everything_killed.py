"""`kill -9` of everything at one random moment, workers, submitters and servers, again and again.

What was accepted is done once it all runs again, nothing is wrong, and every projection is what its log adds up to.
`make campaign` does it 50 times on each kind of store.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from jobkit.ports.inspection import JobState
from jobkit.settings import Settings
from tests.acceptance.site import Site, open_site, until
from tests.campaign.schedule import PLANES
from tests.campaign.servers import Servers, open_servers
from tests.campaign.uploader import EVENTS, sessions_in

KILLS = int(os.environ.get("KILLS", "2"))
SEED = int(os.environ.get("SEED", "1"))
_WORKERS = 2
_PATIENCE_SECONDS = 120.0
# Of work between the start of the workers and the kill, at most.
_LONGEST_SECONDS = 2.0


@asynccontextmanager
async def _open(place: str, root: Path) -> AsyncIterator[tuple[Site, Servers | None]]:
    if place == "embedded":
        async with open_site(root) as site:
            yield site, None
        return
    async with open_servers("redis" if place == "redis" else "postgres") as servers:
        urls = {f"{plane.upper()}_URL": servers.url(plane) for plane in PLANES}
        async with open_site(root, **urls, LEASE_TTL="3", LEASE_GUARD="0.5") as site:
            # A quorum queue whose node is killed within a second after it was made never confirms again (RabbitMQ
            # 3.10.8, docs/rabbitmq.md). After a restart in order it is not new any more.
            for type in ("upload", "transcode"):
                await site.planes.broker.declare(type, Settings.model_fields["partitions"].default)
            await servers.restart("broker")
            yield site, servers


def _uploader(site: Site, *how: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.campaign.uploader", str(site.root / "journal"), *how]
    with (site.root / "uploader.log").open("ab") as log:
        return subprocess.Popen(command, env={**os.environ, **site.environment}, stderr=log, stdout=log)


def _asked(site: Site, *command: str) -> Any:
    """Return what a command says as JSON. Raises `AssertionError` where it is not content."""
    done = subprocess.run(
        [sys.executable, "-m", "jobkit", *command, "--json"],
        env={**os.environ, **site.environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"jobkit {' '.join(command)}:\n{done.stdout}\n{done.stderr}"
    return json.loads(done.stdout)


async def _run_and_kill(site: Site, servers: Servers | None, seconds: float) -> None:
    workers = [site.start("upload") for _ in range(_WORKERS)]
    uploader = _uploader(site)

    async def all_started() -> bool:
        return all(worker.said("worker started") for worker in workers)

    await until(all_started, within=_PATIENCE_SECONDS, what="the workers start")
    await anyio.sleep(seconds)  # the moment of the kill, not a wait for anything
    assert uploader.poll() is None, "the uploader ended by itself; see uploader.log"
    for process in (uploader, *(worker.process for worker in workers)):
        process.kill()
    if servers is not None:
        await servers.kill_all()
    for process in (uploader, *(worker.process for worker in workers)):
        process.wait()
    if servers is not None:
        await servers.start_all()


@pytest.mark.slow
@pytest.mark.timeout(60 + 40 * KILLS)
@pytest.mark.parametrize("place", ["embedded", "postgres", "redis"] if KILLS > 2 else ["embedded"])
async def test_after_kills_of_everything_nothing_is_wrong_and_every_projection_is_its_rebuild(
    place: str, tmp_path: Path
) -> None:
    """nothing-lost, single-effect, order."""
    moments = random.Random(SEED)
    async with _open(place, tmp_path) as (site, servers):
        for _ in range(KILLS):
            await _run_and_kill(site, servers, moments.uniform(0, _LONGEST_SECONDS))
        assert _uploader(site, "finish").wait(_PATIENCE_SECONDS) == 0
        sessions = sessions_in(tmp_path / "journal")
        assert sessions > 0
        for _ in range(_WORKERS):
            site.start("upload")

        async def all_committed() -> bool:
            counts = await site.planes.inspection.counts()
            return counts.jobs.get(JobState.COMMITTED, 0) >= sessions * len(EVENTS)

        await until(all_committed, within=_PATIENCE_SECONDS, what="every event is committed")
        print(f"{KILLS} kills of everything ({place}): {sessions} sessions")
        assert _asked(site, "verify")["findings"] == []
        rebuilt = _asked(site, "rebuild", "upload", "--check", "--from-start")
        assert {one["outcome"] for one in rebuilt} == {"same"}
        assert [one["entries"] for one in rebuilt] == [len(EVENTS)] * sessions
        transcodes = await site.planes.inspection.jobs(type="transcode", limit=10 * sessions)
        # One for each session that is whole, and so for each.
        assert sorted(job.id for job in transcodes) == sorted(f"upload-session-{one}" for one in range(sessions))
