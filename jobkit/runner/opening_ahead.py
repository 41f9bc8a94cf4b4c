"""Opening the next job of a key while the one before it commits, where each answer of the store takes long.

Only a job whose sequence is the next: the store begins it only once the one before it has ended, so what begins here
begins in order, however the two calls meet. Any other answer is dropped, and the job is opened again in its turn.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from jobkit.errors import Unavailable
from jobkit.model.clock import Clock
from jobkit.model.fence import Fence
from jobkit.model.side_by_side import side_by_side
from jobkit.ports.store import Opened, Store
from jobkit.runner.decode import Job
from jobkit.runner.interruptions import Interruptions
from jobkit.runner.outcome import BegunAhead, KeyLease, Outbid, Settled

# From here on a job is worth to be opened ahead.
FAR_SECONDS = 0.05
# So much later than the commit it is sent: by two connections, they arrive in this order.
_HEAD_START_SECONDS = 0.005


class OpeningAhead:
    """Opens jobs ahead, and has it told of those that then do not run here."""

    def __init__(self, store: Store, interruptions: Interruptions, clock: Clock) -> None:
        self._store = store
        self._interruptions = interruptions
        self._clock = clock

    async def beside(
        self, commit: Callable[[], Awaitable[Settled | Outbid]], key: KeyLease, next: Job, fence: Fence
    ) -> Settled | Outbid:
        """Return what `commit` does, `next` being opened meanwhile under the same fence. Raises what `commit` does."""

        async def open_next() -> None:
            await self._clock.sleep(_HEAD_START_SECONDS)
            await self._open(key, next, fence)

        settled, _ = await side_by_side((commit, open_next))
        assert settled is not None  # noqa: S101  (narrows the type: only the other one returns nothing)
        return settled

    async def _open(self, key: KeyLease, job: Job, fence: Fence) -> None:
        begun = key.ahead = BegunAhead(job, fence)
        try:
            answer = await self._store.open(job.envelope, fence)
        except Unavailable:
            # It is asked again in its turn, and whoever is told then tells of it.
            return
        if isinstance(answer, Opened):
            begun.answer = answer
        else:
            key.ahead = None

    def taken(self, key: KeyLease, job: Job, fence: Fence) -> Opened | None:
        """Return the answer for a job that was opened ahead under this fence, once; None where it is to be asked."""
        begun = key.ahead
        if begun is None:
            return None
        if begun.job.envelope.id != job.envelope.id or begun.fence != fence:
            self.drop(key)
            return None
        key.ahead = None
        return begun.answer

    def drop(self, key: KeyLease) -> None:
        """Have it told that what was opened ahead does not run here after all."""
        begun, key.ahead = key.ahead, None
        if begun is not None:
            self._interruptions.add(begun.job.envelope, begun.fence, "it was opened ahead, and did not begin here")
