"""Jobs that are set aside: parked behind a gap of their key, or shelved while they run without a delivery."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jobkit.backends.postgres import each
from jobkit.backends.postgres.outbox import with_sequence
from jobkit.backends.postgres.submit import facts
from jobkit.model.envelope import Envelope
from jobkit.model.fence import Receipt
from jobkit.model.partition import Partition
from jobkit.ports.in_flight import Shelved
from jobkit.ports.rules import key_of, keyless_digest_of, without_sequence

PARK = "SELECT jobkit.park_job($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) AS answer"
SHELVE = each.statement(
    "shelve_job",
    [
        *("text", "text", "text", "bigint", "bigint", "bytea", "text", "integer", "double precision", "bytea"),
        *("text", "bigint", "bytea", "text", "integer"),
    ],
    before="lock_jobs",
)
_SHELVED = (
    "SELECT i.position, j.sequence, j.envelope FROM jobkit.inflight i JOIN jobkit.jobs j USING (id) "
    "WHERE i.type = $1 AND i.number = $2 AND i.position > $3 {} ORDER BY i.position LIMIT $4"
)
SHELVED = _SHELVED.format("")
SHELVED_OF_KEY = _SHELVED.format("AND i.key = $5")
SHELVED_KEYS = "SELECT key FROM jobkit.shelved_keys($1, $2, $3, $4)"


def park_arguments(envelope: Envelope, reason: str) -> tuple[Any, ...]:
    """Return the arguments of `PARK`."""
    key_of(envelope)
    return (*facts(envelope), reason)


def parked(envelope: Envelope, answer: str) -> Receipt:
    """Return what `PARK` says. Raises `ValueError` for a job that has no sequence."""
    if answer == "unordered":
        raise without_sequence(envelope)
    return Receipt(envelope.id, answer)


def shelve_arguments(envelope: Envelope, partition: Partition) -> each.Arguments:
    """Return what `SHELVE` is told of one job."""
    key_of(envelope)
    return (*facts(envelope), keyless_digest_of(envelope), partition.type, partition.index)


def shelved(row: Mapping[str, Any]) -> Shelved:
    """Return the job in a row of `SHELVED`."""
    return Shelved(row["position"], with_sequence(row["envelope"], row["sequence"]))
