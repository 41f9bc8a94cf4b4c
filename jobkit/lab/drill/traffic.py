"""Upload sessions, as clients of a video platform make them, submitted at an even rate while the drill goes on."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from jobkit.client import Client
from jobkit.errors import JobkitError
from jobkit.lab.drill.plugin import TRANSCODE, UPLOAD, Event, Video
from jobkit.model.clock import Clock
from jobkit.model.partition import partition_of

_CHUNKS = (3, 8)
# So many sessions are under way at the same time; their events come in turns.
_ACTIVE = 60
_FLAKY_SHARE = 0.03


@dataclass
class Traffic:
    """What was submitted: the number of chunks of each session, how many events were, and the lectures."""

    rate: float
    rng: random.Random
    sessions: dict[str, int] = field(default_factory=dict)
    lectures: list[str] = field(default_factory=list)
    events: int = 0
    stopping: bool = False
    _active: list[tuple[str, int]] = field(default_factory=list)

    async def run(self, client: Client, clock: Clock) -> None:
        """Submit `rate` events a second until told to stop, then what the sessions under way still lack."""
        due = clock.now()
        while not self.stopping:
            await self._submit(client, self._next())
            due += 1 / self.rate
            await clock.sleep(max(0.0, due - clock.now()))
        while self._active:
            await self._submit(client, self._next(begin=False))

    async def begin_lectures(self, client: Client, led: Sequence[int], partitions: int, seconds: float) -> None:
        """Submit a video to each of the partitions that are `led` by somebody, to be worked on for so long."""
        for partition in led:
            names = (f"lecture-{number}" for number in itertools.count(1))
            name = next(one for one in names if partition_of(one, partitions) == partition)
            await client.submit(TRANSCODE, Video(session=name, seconds=seconds))
            self.lectures.append(name)

    async def _submit(self, client: Client, event: Event) -> None:
        try:
            await client.submit(UPLOAD, event)
        except JobkitError as error:
            raise JobkitError(f"the drill's own client cannot submit: {error}") from error
        self.events += 1

    def _next(self, *, begin: bool = True) -> Event:
        if begin and len(self._active) < _ACTIVE:
            name = f"session-{len(self.sessions) + 1:05}"
            self.sessions[name] = self.rng.randint(*_CHUNKS)
            self._active.append((name, 0))
        place = self.rng.randrange(len(self._active))
        name, done = self._active[place]
        chunks, number = self.sessions[name], done + 1
        if number == chunks + 2:
            self._active.pop(place)
            return Event(session=name, number=number, kind="VideoUploadCompleted", chunks=chunks)
        self._active[place] = (name, number)
        kind = "VideoUploadStarted" if number == 1 else "VideoChunkReceived"
        flaky = self.rng.random() < _FLAKY_SHARE
        return Event(session=name, number=number, kind=kind, chunks=chunks, flaky=flaky)
