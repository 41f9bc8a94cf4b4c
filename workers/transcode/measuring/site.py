"""Workers on backends of their own, in a folder that is gone afterwards, and a video that they transcode."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import psutil

from jobkit import Client, connect
from jobkit.errors import JobkitError
from workers.transcode.chunk_payload import SOUND
from workers.transcode.demo.jobs import pid_of
from workers.transcode.demo.processes import Jobkit, WorkerProcess, end_at_once
from workers.transcode.measuring.course import Course
from workers.transcode.payload import Transcode

_TYPES = ("transcode", "transcode.chunk")
_POLL_SECONDS = 0.2


class NotMade(JobkitError):
    """There is no figure; the message says why."""


@dataclass
class Site:
    """Worker processes that come and go."""

    folder: Path
    jobkit: Jobkit
    workers: list[WorkerProcess] = field(default_factory=list)
    memory: int = 0

    def start(self) -> None:
        """Start one more worker."""
        name = f"worker-{len(self.workers) + 1}"
        self.workers.append(self.jobkit.start_worker(name, self.folder, self.folder, _TYPES))

    def kill(self, pid: int) -> None:
        """Kill a worker, and start another in its place, as whoever runs workers would."""
        for victim in self.workers:
            if victim.process.pid == pid:
                victim.process.kill()
                victim.process.wait()
        self.start()

    def look(self) -> None:
        """Note how much memory the workers take."""
        for worker in self.workers:
            try:
                self.memory = max(self.memory, psutil.Process(worker.process.pid).memory_info().rss)
            except psutil.NoSuchProcess:
                continue


@contextmanager
def site(folder: Path, course: Course, source: Path, workers: int) -> Iterator[Site]:
    """Lend a site of so many workers."""
    folder.mkdir()
    with _environment(_variables(folder, course, source, workers)):
        lent = Site(folder, Jobkit([]))
        try:
            for _ in range(workers):
                lent.start()
            yield lent
        finally:
            end_at_once([worker.process for worker in lent.workers])


async def transcoded(
    source: Path, *, split: bool, on_look: Callable[[float, list[int]], None]
) -> tuple[float, float | None]:
    """Have a video transcoded; `on_look` is told the share that is encoded, and by which processes. Raises `NotMade`.

    Returns the seconds that it took, and those of them after the end of the last chunk, None where there were none.
    """
    # In this process: a command for each look would take more of the processor than there is to be measured.
    async with connect() as client:
        began = time.monotonic()
        payload = Transcode(video_id="measured", source=source.name, split=split)
        id = (await client.submit("transcode", payload)).id
        while not (job := await client.status(id)).state.ended:
            parts = await _parts(client, id)
            on_look(sum(part.share for part in parts) / len(parts), [part.pid for part in parts if part.pid])
            await anyio.sleep(_POLL_SECONDS)
        took = time.monotonic() - began
        if job.state.value != "committed":
            raise NotMade(f"the job is {job.state.value}: {job.reason}")
        if not split or job.finished_at is None:
            return took, None
        return took, job.finished_at - max(part.ended for part in await _parts(client, id))


@dataclass(frozen=True, slots=True)
class _Part:
    """The share of it that is encoded, the process that is at it (0: none), and when it ended, by the store's clock."""

    share: float
    pid: int
    ended: float


async def _parts(client: Client, id: str) -> list[_Part]:
    """Return the chunks of pictures that a job has been split into; it is one itself until then."""
    members = [each.id async for each in client.members(id) if not each.key.endswith(f"/{SOUND}")]
    jobs = [await client.status(member) for member in members or [id]]
    return [
        _Part(
            share=1.0 if job.state.ended else job.progress,
            pid=(pid_of(job.owner) or 0) if job.state.value == "running" else 0,
            ended=job.finished_at or 0.0,
        )
        for job in jobs
    ]


def _variables(folder: Path, course: Course, source: Path, workers: int) -> Mapping[str, str]:
    url = f"sqlite:///{folder}/jobkit.db"
    return {
        **{f"JOBKIT_{plane}_URL": url for plane in ("BROKER", "COORDINATOR", "STORE")},
        "JOBKIT_BLOBS_URL": f"file:{folder}/blobs",
        "JOBKIT_LEASE_TTL": f"{course.ttl:g}",
        "JOBKIT_LEASE_GUARD": "0.5",
        "JOBKIT_CONCURRENCY": "1",
        "JOBKIT_PARTITIONS": "4",
        "JOBKIT_TRANSCODE_SOURCE_ROOTS": str(source.parent),
        "JOBKIT_TRANSCODE_PRESET": course.preset,
        "JOBKIT_TRANSCODE_LADDER": ",".join(map(str, course.ladder)),
        "JOBKIT_TRANSCODE_CHUNK_SECONDS": f"{course.chunk:g}",
        "JOBKIT_TRANSCODE_THREADS": "2" if workers == 1 else "1",
        "JOBKIT_TRANSCODE_NICE": "0",
    }


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set variables of the environment during the block, and take all others of jobkit's away but its ffmpeg."""
    kept = {name: value for name, value in os.environ.items() if name.startswith("JOBKIT_")}
    for name in kept:
        if name != "JOBKIT_TRANSCODE_FFMPEG":
            del os.environ[name]
    os.environ.update(variables)
    try:
        yield
    finally:
        for name in variables:
            del os.environ[name]
        os.environ.update(kept)
