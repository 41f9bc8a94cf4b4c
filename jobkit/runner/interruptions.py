"""Starts of jobs that ended without an outcome, while this process lived: it says so, so that none counts as a crash.

A lease that was lost, a write that was refused, a backend that was away, a worker that was told to stop: none of it is
the job's doing. What the store cannot be told now it is told later; what this process never comes to tell counts as a
start whose end nobody reported, which is a suspicion only.
"""

from __future__ import annotations

import anyio

from jobkit.errors import Unavailable
from jobkit.model.clock import Clock
from jobkit.model.envelope import Envelope
from jobkit.model.fence import Fence
from jobkit.ports.store import Store
from jobkit.telemetry import Telemetry

# While the store is away so many starts are remembered; of more, the oldest are not told.
_MOST = 10_000
_PAUSE_SECONDS = (0.1, 5.0)
# How long a worker that stops gives the store to listen.
_LAST_WORDS_SECONDS = 2.0


class Interruptions:
    """What this process has yet to tell the store of starts that it has ended without an outcome."""

    def __init__(self, store: Store, clock: Clock, telemetry: Telemetry) -> None:
        self._store = store
        self._clock = clock
        self._telemetry = telemetry
        # By nonce and job: one lease may see several jobs of its key.
        self._untold: dict[tuple[str, str], tuple[Envelope, Fence]] = {}
        self._more = anyio.Event()

    def add(self, envelope: Envelope, fence: Fence, reason: str) -> None:
        """Have it told that the start of a job under `fence` has ended; `reason` is for people."""
        self._telemetry.interrupted(envelope.type, envelope.id, reason)
        self._untold[fence.nonce, envelope.id] = (envelope, fence)
        if len(self._untold) > _MOST:
            del self._untold[next(iter(self._untold))]
        self._more.set()

    async def run(self) -> None:
        """Tell the store, until cancelled."""
        while True:
            await self._tell_all()
            self._more = anyio.Event()
            await self._more.wait()

    async def finish(self) -> None:
        """Tell what is left, also where this is cancelled, within a bounded time."""
        with anyio.move_on_after(_LAST_WORDS_SECONDS, shield=True):
            await self._tell_all()

    async def _tell_all(self) -> None:
        pause = _PAUSE_SECONDS[0]
        while self._untold:
            start, (envelope, fence) = next(iter(self._untold.items()))
            try:
                await self._store.interrupted(envelope, fence)
            except Unavailable as error:
                self._telemetry.connection_lost(error.plane, f"telling how job {envelope.id} was interrupted", error)
                await self._clock.sleep(pause)
                pause = min(2 * pause, _PAUSE_SECONDS[1])
            else:
                self._untold.pop(start, None)
