"""What people do to films in a campaign: have small ones transcoded, each in chunks, and cancel some."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import anyio

from jobkit.ports.inspection import JobState
from tests.campaign.answered import answered
from tests.campaign.cluster import Cluster
from tests.campaign.schedule import Schedule
from tests.media.numbered import numbered_picture
from workers.transcode import Transcode
from workers.transcode.ffmpeg import required_ffmpeg

FILM, CHUNK = "transcode", "transcode.chunk"
RATE, SECONDS, CHUNK_SECONDS, SIDE = 25, 6, 2, 32
PICTURES = RATE * SECONDS
# What each film is split into: chunks of pictures, and its sound.
PARTS = frozenset({*(str(number) for number in range(SECONDS // CHUNK_SECONDS)), "sound"})
SOURCE = "numbered.mp4"
_CANCELLED = 0.2


def film_settings(sources: Path) -> Mapping[str, str]:
    """Make a source in a folder, and return the settings of workers that make films of it."""
    make_source(sources / SOURCE)
    given = {
        "source_roots": sources,
        "preset": "ultrafast",
        "segment_seconds": 1,
        "chunk_seconds": CHUNK_SECONDS,
        "threads": 1,
        "ladder": SIDE,
    }
    return {f"TRANSCODE_{name.upper()}": str(value) for name, value in given.items()}


@dataclass
class Filmed:
    """What people know of films when all is over: their ids, which are their keys, too, and which are not wanted."""

    films: list[str] = field(default_factory=list)
    cancelled: set[str] = field(default_factory=set)


class Filming:
    """The people of one campaign who have films transcoded, of a source that lies in `folder`."""

    def __init__(self, cluster: Cluster, schedule: Schedule, folder: Path) -> None:
        self.told = Filmed()
        self._cluster = cluster
        self._schedule = schedule
        self._source = folder / SOURCE
        self._rng = random.Random(f"filming {schedule.seed}")

    async def run(self) -> None:
        """Submit all films, evenly over the time that the faults take, and cancel some."""
        count = self._schedule.scale.films
        async with anyio.create_task_group() as cancelling:
            for number in range(count):
                id = f"{self._schedule.seed}-film-{number}"
                await answered(partial(self._submit, id))
                self.told.films.append(id)
                if self._rng.random() < _CANCELLED:
                    cancelling.start_soon(self._cancel, id, self._rng.uniform(0, 6))
                await anyio.sleep(self._schedule.seconds / count)

    async def _submit(self, id: str) -> None:
        film = Transcode(video_id=id, source=str(self._source), split=True)
        await self._cluster.site.client.submit(FILM, film, id=id)

    async def _cancel(self, id: str, after: float) -> None:
        await anyio.sleep(after)
        inspection = self._cluster.site.planes.inspection
        (answer,) = await answered(lambda: inspection.cancel([id], by="campaign", reason="not wanted"))
        if answer.state is JobState.CANCELLED:
            self.told.cancelled.add(id)


def make_source(path: Path) -> None:
    """Make a film whose pictures carry their number."""
    command = [
        *(str(required_ffmpeg(None)), "-v", "error", "-f", "lavfi", "-i", numbered_picture(str(RATE))),
        *("-f", "lavfi", "-i", "sine=440:sample_rate=48000", "-t", str(SECONDS)),
        *("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-c:a", "aac", str(path)),
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(command, check=True)
