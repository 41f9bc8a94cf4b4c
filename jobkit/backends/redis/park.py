"""Jobs that are set aside: parked behind a gap of their key, or shelved while they run without a delivery."""

from __future__ import annotations

from collections.abc import Sequence

from jobkit.backends.redis.open import key_of
from jobkit.backends.redis.scripts import Argument, spelled
from jobkit.backends.redis.submit import facts, store_script
from jobkit.model.envelope import Envelope
from jobkit.model.fence import Receipt
from jobkit.model.partition import Partition
from jobkit.ports.store import Shelved

PARK = store_script("park", "outbox", "order")
SHELVE = store_script("shelve")
SHELVED = store_script("shelved")


def park_arguments(envelope: Envelope, reason: str) -> Sequence[Argument]:
    """Return the arguments of `PARK`. Raises `ValueError` where the envelope carries no key."""
    key_of(envelope)
    return (*facts(envelope), spelled(reason), envelope.pack())


def parked(envelope: Envelope, answer: bytes) -> Receipt:
    """Return what the answer of `PARK` says."""
    if answer == b"unordered":
        raise ValueError(f"job {envelope.id} has no sequence, so there is no gap to park it behind")
    return Receipt(envelope.id, answer.decode())


def shelve_arguments(envelope: Envelope, partition: Partition) -> Sequence[Argument]:
    """Return the arguments of `SHELVE`."""
    return envelope.id, partition.type, str(partition.index), envelope.pack()


def shelved(flat: Sequence[bytes]) -> list[Shelved]:
    """Return what the answer of `SHELVED` lists."""
    return [Shelved(int(flat[at]), Envelope.unpack(flat[at + 1])) for at in range(0, len(flat), 2)]
