"""Upload sessions, as clients of a video platform make them, submitted at an even rate while the drill goes on."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from jobkit.client import Client
from jobkit.errors import Unavailable
from jobkit.lab.drill.environment import DrillFailed
from jobkit.lab.drill.plugin import TRANSCODE, UPLOAD, Event, Video
from jobkit.model.clock import Clock
from jobkit.model.ids import new_job_id
from jobkit.model.partition import partition_of

_CHUNKS = (3, 8)
# So many sessions are under way at the same time; their events come in turns.
_ACTIVE = 60
_FLAKY_SHARE = 0.03
# A store that does not answer is asked again; for longer than this it is no passing trouble.
_PATIENCE_SECONDS = 60.0
_AGAIN_SECONDS = 0.2


@dataclass
class Traffic:
    """What was submitted: the number of chunks of each session, how many events were, and the lectures.

    `unanswered` counts what had to be submitted again because the store did not answer.
    """

    rate: float
    rng: random.Random
    sessions: dict[str, int] = field(default_factory=dict)
    lectures: list[str] = field(default_factory=list)
    events: int = 0
    unanswered: int = 0
    stopping: bool = False
    _active: list[tuple[str, int]] = field(default_factory=list)

    async def run(self, client: Client, clock: Clock) -> None:
        """Submit `rate` events a second until told to stop, then what the sessions under way still lack."""
        due = clock.now()
        while not self.stopping:
            await self._submit(client, clock, self._next())
            due += 1 / self.rate
            await clock.sleep(max(0.0, due - clock.now()))
        while self._active:
            await self._submit(client, clock, self._next(begin=False))

    async def begin_lectures(self, client: Client, led: Sequence[int], partitions: int, seconds: float) -> None:
        """Submit a video to each of the partitions that are `led` by somebody, to be worked on for so long."""
        for partition in led:
            names = (f"lecture-{number}" for number in itertools.count(1))
            name = next(one for one in names if partition_of(one, partitions) == partition)
            await client.submit(TRANSCODE, Video(session=name, seconds=seconds))
            self.lectures.append(name)

    async def _submit(self, client: Client, clock: Clock, event: Event) -> None:
        """Submit an event, under the same id until the store has answered."""
        id = new_job_id()
        patience = clock.now() + _PATIENCE_SECONDS
        while True:
            try:
                await client.submit(UPLOAD, event, id=id)
            except Unavailable as error:
                if clock.now() >= patience:
                    raise DrillFailed(f"the drill's own client cannot submit: {error}") from error
                self.unanswered += 1
                await clock.sleep(_AGAIN_SECONDS)
            else:
                self.events += 1
                return

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
