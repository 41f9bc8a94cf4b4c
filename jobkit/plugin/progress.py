"""How far a job is, told to the store: as often as eyes can see, and no more."""

from __future__ import annotations

from collections.abc import Callable

from jobkit.errors import LeaseLost, Unavailable
from jobkit.model.clock import Clock
from jobkit.model.envelope import Envelope
from jobkit.model.fence import Fence
from jobkit.model.plane import Plane
from jobkit.plugin.job_info import JobInfo
from jobkit.ports.store import Store

# More often than this it costs store writes and shows nothing more.
PROGRESS_INTERVAL_SECONDS = 0.25


class ProgressReport:
    """Tells how far one attempt is. `on_unavailable` hears of a store that did not answer: only eyes miss it."""

    __slots__ = ("_clock", "_envelope", "_fence", "_job", "_last", "_on_unavailable", "_store")

    def __init__(
        self,
        job: JobInfo,
        store: Store,
        envelope: Envelope,
        fence: Fence,
        clock: Clock,
        on_unavailable: Callable[[Plane, str, Exception], None],
    ) -> None:
        self._job = job
        self._store = store
        self._envelope = envelope
        self._fence = fence
        self._clock = clock
        self._on_unavailable = on_unavailable
        self._last = float("-inf")

    async def tell(self, fraction: float, message: str, *, at_once: bool = False) -> None:
        """Tell it, unless it was told just now and the job is not done. Raises `LeaseLost` under a newer lease."""
        now = self._clock.now()
        if now - self._last < PROGRESS_INTERVAL_SECONDS and fraction < 1 and not at_once:
            return
        self._last = now
        job, share = self._job, min(max(fraction, 0.0), 1.0)
        try:
            noted = await self._store.progress(self._envelope, self._fence, fraction=share, message=message)
        except Unavailable as error:
            # Hours of work may hang on this.
            self._on_unavailable(error.plane, f"noting the progress of job {job.id}", error)
            return
        if not noted:
            raise LeaseLost(f"job {job.id} on {job.type}/{job.key} was taken over by a newer lease")
