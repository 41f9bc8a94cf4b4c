"""Jobs that are set aside: parked behind a gap of their key, or shelved while they run without a delivery."""

from __future__ import annotations

from collections.abc import Sequence

from jobkit.backends.redis.open import key_of
from jobkit.backends.redis.outbox import with_sequence
from jobkit.backends.redis.scripts import Argument, spelled
from jobkit.backends.redis.submit import facts, store_script
from jobkit.model.envelope import Envelope
from jobkit.model.fence import Receipt
from jobkit.model.partition import Partition, slot_of
from jobkit.ports.in_flight import Shelved
from jobkit.ports.rules import keyless_digest_of, without_sequence

PARK = store_script("park", "outbox", "order", "foreign")
SHELVE = store_script("shelve", "foreign")
SHELVED = store_script("shelved")
SHELVED_KEYS = store_script("shelved_keys")


def park_arguments(envelope: Envelope, reason: str) -> Sequence[Argument]:
    """Return the arguments of `PARK`. Raises `ValueError` where the envelope carries no key."""
    key_of(envelope)
    return (*facts(envelope), spelled(reason))


def parked(envelope: Envelope, answer: bytes) -> Receipt:
    """Return what the answer of `PARK` says."""
    if answer == b"unordered":
        raise without_sequence(envelope)
    return Receipt(envelope.id, answer.decode())


def shelve_arguments(envelope: Envelope, partition: Partition) -> Sequence[Argument]:
    """Return the arguments of `SHELVE`. Raises `ValueError` where the envelope carries no key."""
    key_of(envelope)
    return (
        *facts(envelope),
        keyless_digest_of(envelope),
        partition.type,
        str(partition.index),
        str(slot_of(envelope.key)),
    )


def shelved(flat: Sequence[bytes]) -> list[Shelved]:
    """Return what the answer of `SHELVED` lists."""
    rows = (flat[at : at + 3] for at in range(0, len(flat), 3))
    return [Shelved(int(position), with_sequence(packed, sequence)) for position, sequence, packed in rows]
