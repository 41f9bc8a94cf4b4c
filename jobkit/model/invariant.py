"""What jobkit promises, by name."""

from __future__ import annotations

from enum import StrEnum


class Invariant(StrEnum):
    """A promise that holds whatever fails; metrics, logs and `jobkit verify` name it by this value."""

    SINGLE_EFFECT = "single-effect"
    FENCING = "fencing"
    ORDER = "order"
    NO_LEASE_NO_WORK = "no-lease-no-work"
    BOUNDED = "bounded"
    LOUD = "loud"
    NOTHING_LOST = "nothing-lost"
    PROJECTION = "projection"
