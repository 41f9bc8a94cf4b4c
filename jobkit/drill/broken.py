"""Workers with one protection taken away, so that the drill can show what it is there for.

Each wraps a plane as a worker sees it, and does what the systems of the incident did. Nothing outside of the drill
knows of these, and only its own workers can be started with them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Any

import anyio

from jobkit.envelope import Envelope
from jobkit.errors import Unavailable
from jobkit.fence import Fence
from jobkit.ports.coordinator import Granted, Held, LeaseRef
from jobkit.ports.planes import Planes
from jobkit.ports.store import Committed, Duplicate, Effects, Opened, Refused

BROKEN_VARIABLE = "DRILL_BROKEN"
# A folder that all workers share: what their lock service does not tell apart.
SHARED_VARIABLE = "DRILL_SHARED"

_RENEWAL_SECONDS = 1.0


class Protection(StrEnum):
    """What can be taken away; `flaw` says which of the incident's it then is."""

    FENCING = "fencing"
    SEQUENCE = "sequence"
    DEDUP = "dedup"
    RELEASE = "release"
    WATCH = "watch"

    @property
    def flaw(self) -> str:
        """What such a system does."""
        return _FLAWS[self]


_FLAWS = {
    Protection.FENCING: "storage takes every write, whoever holds the lease by then (L2, K4)",
    Protection.SEQUENCE: "events carry no sequence, so nothing sees that one overtook another (E1)",
    Protection.DEDUP: "a redelivery looks like a new job (E2)",
    Protection.RELEASE: "whoever notices that it lost a lease deletes it, though it is another's by then (L1, K3)",
    Protection.WATCH: "a leader that cannot reach the coordinator goes on leading (L3)",
}


def without(protection: Protection | None, planes: Planes, shared: Path) -> Planes:
    """Return the planes as a worker without this protection sees them."""
    match protection:
        case Protection.FENCING:
            return replace(planes, store=_UnfencedStore(planes.store))
        case Protection.DEDUP:
            return replace(planes, store=_ForgetfulStore(planes.store))
        case Protection.RELEASE:
            return replace(planes, coordinator=_CarelessRelease(planes.coordinator, shared))
        case Protection.WATCH:
            return replace(planes, coordinator=_DeafToSilence(planes.coordinator))
        case _:
            # Sequences are left away where jobs are submitted.
            return planes


class _Around:
    """Everything else is the inner plane's."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class _UnfencedStore(_Around):
    """Takes every write, as storage does that compares no token."""

    async def commit(self, envelope: Envelope, fence: Fence, effects: Effects) -> Committed | Duplicate | Refused:
        answer: Committed | Duplicate | Refused = await self._inner.commit(envelope, fence, effects)
        if isinstance(answer, Committed):
            return answer
        # Under another id and above the mark, so that the store has no reason to refuse it.
        again = replace(envelope, id=f"{envelope.id}~{fence.nonce[:8]}", sequence=None)
        key = await self._inner.key(envelope.type, envelope.key or "")
        above = Fence(key.token + 1, fence.nonce, fence.owner)
        if isinstance(await self._inner.open(again, above), Opened):
            forced: Committed | Duplicate | Refused = await self._inner.commit(again, above, effects)
            return forced
        return answer


class _ForgetfulStore(_Around):
    """Knows no job by its id: each delivery is a job of its own."""

    async def open(self, envelope: Envelope, fence: Fence) -> Any:
        return await self._inner.open(_anew(envelope, fence), fence)

    async def commit(self, envelope: Envelope, fence: Fence, effects: Effects) -> Any:
        return await self._inner.commit(_anew(envelope, fence), fence, effects)

    async def fail(self, envelope: Envelope, fence: Fence, *rest: Any) -> Any:
        return await self._inner.fail(_anew(envelope, fence), fence, *rest)

    async def bury(self, envelope: Envelope, fence: Fence, **rest: Any) -> Any:
        return await self._inner.bury(_anew(envelope, fence), fence, **rest)

    async def progress(self, envelope: Envelope, fence: Fence, **rest: Any) -> Any:
        return await self._inner.progress(_anew(envelope, fence), fence, **rest)


def _anew(envelope: Envelope, fence: Fence) -> Envelope:
    # An ordered one keeps its id: its sequence would give it away.
    return envelope if envelope.sequence is not None else replace(envelope, id=f"{envelope.id}~{fence.nonce[:8]}")


class _DeafToSilence(_Around):
    """Takes no answer for a yes."""

    async def renew(self, leases: Sequence[LeaseRef], *, ttl: float) -> frozenset[LeaseRef]:
        kept = frozenset(leases)
        with anyio.move_on_after(_RENEWAL_SECONDS):
            try:
                kept = await self._inner.renew(leases, ttl=ttl)
            except Unavailable:  # the flaw itself: nobody is told
                return frozenset(leases)
        return kept


class _CarelessRelease(_Around):
    """Deletes a lease by its name alone, once it has noticed that it lost it."""

    def __init__(self, inner: Any, shared: Path) -> None:
        super().__init__(inner)
        self._shared = shared

    async def claim(self, resource: str, **rest: Any) -> Granted | Held:
        answer: Granted | Held = await self._inner.claim(resource, **rest)
        if isinstance(answer, Granted):
            self._file(resource).write_text(json.dumps([answer.token, rest["nonce"]]))
        return answer

    async def renew(self, leases: Sequence[LeaseRef], *, ttl: float) -> frozenset[LeaseRef]:
        kept: frozenset[LeaseRef] = await self._inner.renew(leases, ttl=ttl)
        for lost in set(leases) - kept:
            token, nonce = json.loads(self._file(lost.resource).read_text())
            await self._inner.release(LeaseRef(lost.resource, token, nonce))
        return kept

    def _file(self, resource: str) -> Path:
        return self._shared / hashlib.sha256(resource.encode()).hexdigest()
