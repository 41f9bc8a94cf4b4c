"""Jobs that run here and were cancelled: each is found within a second, and its scope closed.

The store has ended such a job already and takes nothing more of it. So this is no protection, but stops work that is
in vain. It asks only for jobs that have been here for a while, all in one call: jobs that are over sooner cost nothing.
"""

from __future__ import annotations

import anyio

from jobkit.errors import Unavailable
from jobkit.model.clock import Clock
from jobkit.model.fence import Receipt
from jobkit.ports.store import Store
from jobkit.telemetry import Telemetry

# Together half a second: the rest of the second is for the answer, and for what has to be ended.
_EVERY_SECONDS = 0.4
# A job is asked for at the first look at which it has been here for so long.
_YOUNG_SECONDS = 0.1


class CancelWatch:
    """One job that is worked on: once it is found to be cancelled it has a receipt, and the scope around it closes."""

    __slots__ = ("_cancellations", "_scope", "id", "receipt", "since")

    def __init__(self, cancellations: Cancellations, id: str, scope: anyio.CancelScope, since: float) -> None:
        self.id = id
        self.since = since
        self.receipt: Receipt | None = None
        self._cancellations = cancellations
        self._scope = scope

    def __enter__(self) -> CancelWatch:
        self._cancellations.add(self)
        return self

    def __exit__(self, *_: object) -> None:
        self._cancellations.discard(self)

    def cancelled(self, receipt: Receipt) -> None:
        """Close the scope: the job was cancelled."""
        self.receipt = receipt
        self._scope.cancel()


class Cancellations:
    """The jobs that this process works on, and the look at which of them were cancelled."""

    def __init__(self, store: Store, clock: Clock, telemetry: Telemetry) -> None:
        self._store = store
        self._clock = clock
        self._telemetry = telemetry
        # A job may be here twice, under an old lease and a new one.
        self._watches: dict[CancelWatch, None] = {}

    def watching(self, id: str, scope: anyio.CancelScope) -> CancelWatch:
        """Return the block to work on a job in, somewhere within `scope`."""
        return CancelWatch(self, id, scope, self._clock.now())

    def add(self, watch: CancelWatch) -> None:
        """Look after a job from now on."""
        self._watches[watch] = None

    def discard(self, watch: CancelWatch) -> None:
        """Undo `add`."""
        del self._watches[watch]

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            await self._clock.sleep(_EVERY_SECONDS)
            try:
                await self._look()
            except Unavailable as error:
                self._telemetry.connection_lost(error.plane, "looking for cancelled jobs", error)

    async def _look(self) -> None:
        until = self._clock.now() - _YOUNG_SECONDS
        ids = {watch.id for watch in self._watches if watch.since <= until}
        receipts = {receipt.job_id: receipt for receipt in await self._store.cancelled(list(ids))} if ids else {}
        for watch in [held for held in self._watches if held.id in receipts]:
            watch.cancelled(receipts[watch.id])
