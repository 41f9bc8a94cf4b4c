"""The outbox: jobs that are accepted, until the broker has confirmed their messages or they have ended.

Entries leave in the order they came. One may be published twice, when its deletion was not reached; the store drops
what is there twice.
"""

from __future__ import annotations

from collections.abc import Sequence

from jobkit.backends.redis.submit import store_script
from jobkit.model.envelope import Envelope
from jobkit.ports.store import OutboxEntry

READ = store_script("read_outbox", "outbox")
PUBLISHED = store_script("published", "outbox")


def entry(position: bytes, sequence: bytes, packed: bytes) -> OutboxEntry:
    """Return an entry; `sequence` is the job's, or empty."""
    return OutboxEntry(int(position), with_sequence(packed, sequence))


def with_sequence(packed: bytes, sequence: bytes) -> Envelope:
    """Return an envelope that was packed before its sequence was given out, if it has one."""
    envelope = Envelope.unpack(packed)
    return envelope.with_sequence(int(sequence)) if sequence else envelope


def entries(flat: Sequence[bytes]) -> list[OutboxEntry]:
    """Return the entries in a flat list of positions, sequences and envelopes."""
    return [entry(*flat[at : at + 3]) for at in range(0, len(flat), 3)]
