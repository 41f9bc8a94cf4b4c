"""Envelopes, fences and the like, as the suites need them by the dozen."""

from __future__ import annotations

import itertools

from jobkit.model.envelope import Envelope
from jobkit.model.fence import Fence, Receipt
from jobkit.ports.inspection import Cancellation
from jobkit.ports.store import Accepted, Committed, Effects, Failure, NewJob, Opened
from jobkit.testing.conformance.harness import FullStore

NOTHING = Effects()
# Stands in for what only a store makes; the broker's suite has none.
PROOF = Receipt("id", "committed")

_tokens = itertools.count(1)


def envelope(
    id: str, *, type: str = "t", key: str | None = "k", body: bytes = b"{}", sequence: int | None = None
) -> Envelope:
    return Envelope(id=id, type=type, key=key, body=body, sequence=sequence, submitted_at=1_690_000_000.5)


def fence(token: int | None = None, nonce: str = "", owner: str = "somebody") -> Fence:
    """Return a fence; without a token, a higher one than any before."""
    token = next(_tokens) if token is None else token
    return Fence(token, nonce or f"nonce-{token}", owner)


def failure(attempt: int, error: str = "it broke") -> Failure:
    return Failure(attempt, error, "Traceback: ...", "somebody", 1, 1_690_000_001.0)


async def submitted(store: FullStore, id: str, *, key: str = "k", type: str = "t", body: bytes = b"{}") -> Envelope:
    """Submit one ordered job and return its envelope, with its sequence."""
    (answer,) = await store.submit([NewJob(envelope(id, key=key, type=type, body=body), ordered=True)])
    assert isinstance(answer, Accepted), answer
    return answer.envelope


async def unordered(store: FullStore, id: str, *, key: str = "k", type: str = "t") -> Envelope:
    """Submit one job without an order and return its envelope."""
    (answer,) = await store.submit([NewJob(envelope(id, key=key, type=type), ordered=False)])
    assert isinstance(answer, Accepted), answer
    return answer.envelope


async def opened(store: FullStore, job: Envelope, under: Fence | None = None) -> Fence:
    """Open a job and return the fence it was opened under."""
    under = under or fence()
    answer = await store.open(job, under)
    assert isinstance(answer, Opened), answer
    return under


async def committed(
    store: FullStore, job: Envelope, effects: Effects = NOTHING, under: Fence | None = None
) -> Committed:
    """Open and commit a job."""
    under = await opened(store, job, under)
    answer = await store.commit(job, under, effects)
    assert isinstance(answer, Committed), answer
    return answer


async def buried(store: FullStore, job: Envelope, reason: str = "hopeless") -> int:
    """Open and bury a job; return its dead letter's number."""
    answer = await store.bury(job, await opened(store, job), reason=reason)
    assert isinstance(answer, Receipt), answer
    return (await store.dead(limit=1_000))[-1].number


async def cancel(store: FullStore, *ids: str) -> list[Cancellation]:
    """Cancel jobs in the name of "ann", who does not want them."""
    return list(await store.cancel(ids, by="ann", reason="not wanted"))


async def outbox_ids(store: FullStore) -> list[str]:
    """Return the ids of what is in the outbox, in order."""
    return [entry.envelope.id for entry in await store.outbox(older_than=-1, limit=1_000)]


async def published(store: FullStore) -> None:
    """Take everything out of the outbox, as a relay does."""
    await store.published([entry.position for entry in await store.outbox(older_than=-1, limit=10_000)])
