"""Files that a commit adds to those of its key, where the author says so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import pytest

from jobkit import Context, Payload, RetryPolicy, SyncContext, processor
from jobkit.backends.registry import open_planes
from jobkit.client import Client
from jobkit.errors import JobDead
from jobkit.ops.blob_garbage import sweep
from jobkit.plugin.processor import Processor
from jobkit.plugin.registry import Registry
from jobkit.ports.planes import Planes
from jobkit.settings import Settings
from jobkit.worker import Worker


class Draw(Payload):
    names: tuple[str, ...]
    text: str
    adds: bool = True


@processor("draw", key=lambda _: "k", ordered=True, retry=RetryPolicy(max_attempts=1))
async def draw(job: Draw, ctx: Context) -> None:
    if job.adds:
        ctx.blobs.add_to_committed()
    for name in job.names:
        async with ctx.blobs.create(name) as path:
            await anyio.Path(path).write_text(job.text)


@processor("draw", key=lambda _: "k", ordered=True, retry=RetryPolicy(max_attempts=1))
def blocking(job: Draw, ctx: SyncContext) -> None:
    ctx.blobs.add_to_committed()
    for name in job.names:
        with ctx.blobs.create(name) as path:
            path.write_text(job.text)


async def _drawn(planes: Planes, settings: Settings, used: Processor[Any, Any], *jobs: Draw) -> dict[str, str]:
    """Do jobs in order, and return the files of their key."""
    registry = Registry([used])
    client = Client(planes, registry, settings)
    async with anyio.create_task_group() as group:
        worker = Worker(planes, registry, ["draw"], settings, watchdog=False)
        group.start_soon(worker.run)
        for job in jobs:
            await client.handle((await client.submit("draw", job)).id).result(timeout=30)
        worker.stop()
    found = {}
    for file in await client.files("draw", "k"):
        async with client.open("draw", "k", file.name) as opened:
            found[file.name] = (await opened.read()).decode()
    return found


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    url = f"sqlite:///{tmp_path}/jobkit.db"
    return Settings(broker_url=url, coordinator_url=url, store_url=url, blobs_url=f"file://{tmp_path}/b", partitions=1)


@pytest.mark.parametrize("used", [draw, blocking], ids=["async", "def"])
async def test_files_are_added_and_those_of_the_same_name_replaced(
    settings: Settings, used: Processor[Any, Any]
) -> None:
    async with open_planes(settings) as planes:
        jobs = Draw(names=("a", "x/b"), text="1"), Draw(names=("x/b", "c"), text="2"), Draw(names=(), text="3")
        assert await _drawn(planes, settings, used, *jobs) == {"a": "1", "x/b": "2", "c": "2"}
        swept = await sweep(planes, remove=True)
        assert (swept.kept.count, swept.read) == (3, 4)
        assert await _drawn(planes, settings, draw, Draw(names=("d",), text="4", adds=False)) == {"d": "4"}


@pytest.mark.parametrize("hostile", ["A", "a/b", "x"])
async def test_a_file_that_is_in_the_way_of_a_committed_one_is_refused(settings: Settings, hostile: str) -> None:
    async with open_planes(settings) as planes:
        with pytest.raises(ExceptionGroup) as failed:
            await _drawn(planes, settings, draw, Draw(names=("a", "x/b"), text="1"), Draw(names=(hostile,), text="2"))
        assert failed.group_contains(JobDead, match="blobs? '")
