"""Jobs whose messages no broker takes: they are dead-lettered in the way of any job, under the lease of their key."""

from __future__ import annotations

from jobkit.leases import Keeper, Lease
from jobkit.model.envelope import Envelope
from jobkit.model.fence import Receipt
from jobkit.ports.store import Conflict, Duplicate, Early, Gap, Opened, Skipped, Stale, Store, Superseded
from jobkit.telemetry import Telemetry

# A second claim is needed where the store has seen a higher token than the coordinator gives.
_CLAIMS = 2


class Rejections:
    """Dead-letters jobs that never reached a worker."""

    def __init__(self, store: Store, keeper: Keeper, telemetry: Telemetry) -> None:
        self._store = store
        self._keeper = keeper
        self._telemetry = telemetry

    async def bury(self, envelope: Envelope, reason: str) -> bool:
        """Dead-letter a job with the reason; tell whether it has ended. False: its key is busy, or waits for a gap.

        Raises `Unavailable`.
        """
        floor = 0
        for _ in range(_CLAIMS):
            lease = await self._keeper.claim(f"{envelope.type}/{envelope.key}", floor=floor)
            if not isinstance(lease, Lease):
                return False
            try:
                answer = await self._under_lease(envelope, lease, reason)
            finally:
                await self._keeper.release(lease)
            if not isinstance(answer, Stale):
                return answer
            floor = answer.mark
        return False

    async def _under_lease(self, envelope: Envelope, lease: Lease, reason: str) -> bool | Stale:
        match await self._store.open(envelope, lease.fence):
            case Opened():
                buried = isinstance(await self._store.bury(envelope, lease.fence, reason=reason), Receipt)
            case Duplicate():
                return True
            case Gap() | Early():
                return False
            case Stale() as stale:
                return stale
            case Skipped() | Superseded() | Conflict():
                await self._store.bury_message(envelope.body, envelope, reason=reason)
                buried = True
        if buried:
            self._telemetry.dead_lettered(envelope.type, envelope.id, reason)
        return buried
