"""Workers with one protection taken away, so that the drill can show what it is there for.

Each wraps a plane as a worker sees it, and does what the systems of the incident did. Nothing outside of the drill
knows of these, and only its own workers can be started with them.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Any

import anyio

from jobkit.errors import Unavailable
from jobkit.leases import Lease
from jobkit.model.envelope import Envelope
from jobkit.model.fence import Fence
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

    async def progress(self, *_: Any, **__: Any) -> bool:
        return True


def never_checking_leases() -> None:
    """Have the process never look again whether it still holds what it once got (K4)."""
    Lease.check = lambda self: None  # type: ignore[method-assign]  # noqa: ARG005
    Lease.lose = lambda self, reason: None  # type: ignore[method-assign]  # noqa: ARG005


class _ForgetfulStore(_Around):
    """Knows no job by its id: each delivery is a job of its own."""

    async def open(self, envelope: Envelope, fence: Fence) -> Any:
        return await self._inner.open(_anew(envelope, fence), fence)

    async def commit(self, envelope: Envelope, fence: Fence, effects: Effects) -> Any:
        return await self._inner.commit(_anew(envelope, fence), fence, effects)

    async def fail(self, envelope: Envelope, fence: Fence, *rest: Any, **more: Any) -> Any:
        return await self._inner.fail(_anew(envelope, fence), fence, *rest, **more)

    async def interrupted(self, envelope: Envelope, fence: Fence) -> None:
        await self._inner.interrupted(_anew(envelope, fence), fence)

    async def bury(self, envelope: Envelope, fence: Fence, **rest: Any) -> Any:
        return await self._inner.bury(_anew(envelope, fence), fence, **rest)

    async def progress(self, envelope: Envelope, fence: Fence, **rest: Any) -> Any:
        return await self._inner.progress(_anew(envelope, fence), fence, **rest)


def _anew(envelope: Envelope, fence: Fence) -> Envelope:
    # An ordered one keeps its id: its sequence would give it away.
    return envelope if envelope.sequence is not None else replace(envelope, id=f"{envelope.id}~{fence.nonce[:8]}")


class _DeafToSilence(_Around):
    """Takes no answer for a yes: what it holds it keeps, and what it asks for it gets (K2)."""

    _highest = 0

    async def claim(self, resource: str, *, floor: int = 0, **rest: Any) -> Granted | Held:
        answer: Granted | Held = Granted(max(self._highest, floor) + 1)
        # The flaw itself: without an answer, it goes on without a lease.
        with anyio.move_on_after(_RENEWAL_SECONDS), suppress(Unavailable):
            answer = await self._inner.claim(resource, floor=floor, **rest)
        if isinstance(answer, Granted):
            self._highest = max(self._highest, answer.token)
        return answer

    async def renew(self, leases: Sequence[LeaseRef], *, ttl: float) -> frozenset[LeaseRef]:
        kept = frozenset(leases)
        # Here too: silence is taken for a yes.
        with anyio.move_on_after(_RENEWAL_SECONDS), suppress(Unavailable):
            kept = await self._inner.renew(leases, ttl=ttl)
        return kept


class _CarelessRelease(_Around):
    """Deletes a lease by its name alone, once the process has noticed that it lost it."""

    def __init__(self, inner: Any, shared: Path) -> None:
        super().__init__(inner)
        self._shared = shared
        self._deleting: set[asyncio.Task[None]] = set()
        lose = Lease.lose

        def lose_and_delete(lease: Lease, reason: str) -> None:
            lose(lease, reason)
            task = asyncio.get_running_loop().create_task(self._delete(lease.ref.resource))
            self._deleting.add(task)
            task.add_done_callback(self._deleting.discard)

        Lease.lose = lose_and_delete  # type: ignore[method-assign, assignment]

    async def claim(self, resource: str, **rest: Any) -> Granted | Held:
        answer: Granted | Held = await self._inner.claim(resource, **rest)
        if isinstance(answer, Granted):
            self._file(resource).write_text(json.dumps([answer.token, rest["nonce"]]))
        return answer

    async def _delete(self, resource: str) -> None:
        """Delete a lease, whosever it is by then, as soon as the coordinator can be reached."""
        while True:
            token, nonce = json.loads(self._file(resource).read_text())
            with suppress(Unavailable):
                await self._inner.release(LeaseRef(resource, token, nonce))
                return
            await anyio.sleep(_RENEWAL_SECONDS)

    def _file(self, resource: str) -> Path:
        return self._shared / hashlib.sha256(resource.encode()).hexdigest()
