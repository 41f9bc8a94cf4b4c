"""Jobs that are set aside: parked behind a gap of their key, or shelved while they run without a delivery."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jobkit.backends.postgres.open import key_of
from jobkit.backends.postgres.submit import digest_of, dump_trace
from jobkit.model.envelope import Envelope
from jobkit.model.fence import Receipt
from jobkit.model.partition import Partition
from jobkit.ports.store import Shelved

PARK = "SELECT jobkit.park_job($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) AS answer"
SHELVE = "SELECT jobkit.shelve_job($1, $2, $3, $4)"
SHELVED = "SELECT position, envelope FROM jobkit.inflight WHERE type = $1 AND number = $2 ORDER BY position LIMIT $3"


def park_arguments(envelope: Envelope, reason: str) -> tuple[Any, ...]:
    """Return the arguments of `PARK`."""
    return (
        envelope.id,
        envelope.type,
        key_of(envelope),
        envelope.sequence,
        digest_of(envelope),
        dump_trace(envelope.trace),
        envelope.schema,
        envelope.submitted_at,
        reason,
        envelope.pack(),
    )


def parked(envelope: Envelope, answer: str) -> Receipt:
    """Return what `PARK` says. Raises `ValueError` for a job that has no sequence."""
    if answer == "unordered":
        raise ValueError(f"job {envelope.id} has no sequence, so there is no gap to park it behind")
    return Receipt(envelope.id, answer)


def shelve_arguments(envelope: Envelope, partition: Partition) -> tuple[Any, ...]:
    """Return the arguments of `SHELVE`."""
    return (envelope.id, partition.type, partition.index, envelope.pack())


def shelved(row: Mapping[str, Any]) -> Shelved:
    """Return the job in a row of `SHELVED`."""
    return Shelved(row["position"], Envelope.unpack(row["envelope"]))
