"""Where jobs are held that a worker does not know how to read: a part of the in-flight table that nobody leads.

Every worker of their type looks there, and takes what it knows (`unknown_jobs.py`).
"""

from __future__ import annotations

from jobkit.model.envelope import Envelope
from jobkit.model.fence import Receipt
from jobkit.model.partition import Partition
from jobkit.ports.inspection import Inspection
from jobkit.ports.store import Accepted, NewJob, Store

# No queue has it.
_INDEX = -1


def holding(type: str) -> Partition:
    """Return the part of the in-flight table in which jobs of a type are held."""
    return Partition(type, _INDEX)


async def put_aside(store: Store, inspection: Inspection, envelope: Envelope) -> Receipt:
    """Move a job there; the receipt is for its delivery. Behind others of its key it goes where those are.

    Raises `Unavailable`.
    """
    if envelope.key is None:
        envelope = envelope.with_key(await _filed_under(store, inspection, envelope))
    return await store.shelve(envelope, holding(envelope.type))


async def _filed_under(store: Store, inspection: Inspection, envelope: Envelope) -> str:
    """Return what a job without a key is filed under: its key, where somebody has found that out, or else its id."""
    known = await inspection.job(envelope.id)
    if known is not None and known.key:
        return known.key
    if known is None:
        # A store that learnt of the job under the name that it is filed by would take that for its key.
        (answer,) = await store.submit([NewJob(envelope, ordered=False)])
        if isinstance(answer, Accepted) and answer.position is not None:
            await store.published([answer.position])
    return f"?{envelope.id}"
