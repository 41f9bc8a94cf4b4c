"""The outbox as rows: jobs that are accepted, until the broker has confirmed their messages or they have ended.

Of one key's entries, those that came first have the lower positions. Entries of different keys may become visible in
another order than that of their positions, since transactions end in any order.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jobkit.model.envelope import Envelope
from jobkit.ports.store import OutboxEntry

OLDEST = """
    SELECT o.position, j.sequence, j.envelope FROM (
        SELECT position, id FROM jobkit.outbox
        WHERE made < jobkit.clock() - $1::double precision AND position > $3 ORDER BY position LIMIT $2
    ) o JOIN jobkit.jobs j ON j.id = o.id ORDER BY o.position
"""
PUBLISHED = "SELECT jobkit.published($1)"


def entry(row: Mapping[str, Any]) -> OutboxEntry:
    """Return the entry in a row."""
    return OutboxEntry(row["position"], with_sequence(row["envelope"], row["sequence"]))


def with_sequence(packed: bytes, sequence: int | None) -> Envelope:
    """Return the envelope in a row; it was packed before its sequence was given out."""
    envelope = Envelope.unpack(packed)
    return envelope if sequence is None else envelope.with_sequence(sequence)
