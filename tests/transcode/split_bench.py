"""A site that transcodes in chunks: memory planes, and whole workers in real time, with the plugin's own processes."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
from anyio.abc import TaskGroup

from jobkit.backends.registry import memory_planes
from jobkit.client import Client
from jobkit.files import FileSet
from jobkit.model.clock import SystemClock
from jobkit.plugin.registry import Registry
from jobkit.ports.inspection import JobRecord
from jobkit.ports.planes import Planes
from jobkit.worker import Worker
from tests.virtual_site import settings_of
from workers.transcode import Transcode, TranscodeResult, transcode, transcode_chunk

TYPES = ("transcode", "transcode.chunk")


@dataclass
class SplitSite:
    """What a test sees of the site."""

    planes: Planes
    client: Client
    registry: Registry
    tasks: TaskGroup
    started: int = 0

    def start(self, *types: str) -> Worker:
        """Start a worker that does one job at a time."""
        self.started += 1
        worker = Worker(
            self.planes,
            self.registry,
            types or TYPES,
            settings_of(concurrency=1, lease_ttl=6.0, lease_guard=1.0),
            clock=SystemClock(),
            rng=random.Random(self.started),
            owner=f"worker-{self.started}",
            watchdog=False,
        )
        self.tasks.start_soon(worker.run)
        return worker

    async def transcode(self, source: str, **fields: Any) -> TranscodeResult:
        """Transcode a source to its end."""
        handle = await transcode.submit(self.client, Transcode(video_id="v1", source=source, **fields))
        return await handle.result(timeout=120)

    async def chunks(self, id: str) -> list[JobRecord]:
        """Return the records of the chunks of a job, in order."""
        return [await self.client.status(member.id) async for member in self.client.members(id)]

    async def until_split(self, id: str) -> list[JobRecord]:
        """Wait until a job has handed its chunks out, and return them."""
        with anyio.fail_after(60):
            found: list[JobRecord] = []
            while not found:
                await anyio.sleep(0.05)
                found = await self.chunks(id)
        return found

    async def until_running(self, id: str) -> None:
        """Wait until a chunk of a job has been encoded, and another one is."""
        states: set[str] = set()
        with anyio.fail_after(60):
            while not {"committed", "running"} <= states:
                await anyio.sleep(0.05)
                states = {one.state.value for one in await self.chunks(id)}

    async def until_chunks_are_gone(self, id: str) -> None:
        """Wait until the chunks of a job have ended, and no files of any are left."""
        states: set[bool] = {False}
        left = True
        with anyio.fail_after(60):
            while states != {True} or left:
                await anyio.sleep(0.05)
                states = {one.state.ended for one in await self.chunks(id)}
                found = [one.location or "" async for one in self.planes.blobs.objects()]
                left = any(location.startswith("transcode.chunk/") for location in found)

    async def files(self, to: Path) -> FileSet:
        """Write what was committed to a folder, as its players would find it."""
        files = await self.client.files("transcode", "v1")
        for file in files:
            target = to / file.name
            target.parent.mkdir(parents=True, exist_ok=True)
            await files.download(file.name, target)
        return files


@asynccontextmanager
async def split_site() -> AsyncIterator[SplitSite]:
    """Lend a site without workers; the plugin's settings are those of the environment."""
    registry = Registry([transcode, transcode_chunk])
    clock = SystemClock()
    async with memory_planes(clock=clock) as planes, anyio.create_task_group() as tasks:
        yield SplitSite(planes, Client(planes, registry, settings_of(), clock), registry, tasks)
        tasks.cancel_scope.cancel()
