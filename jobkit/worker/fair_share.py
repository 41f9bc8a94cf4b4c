"""How many partitions of a type a worker is to lead, and which: as many as the others that are as near as it is.

Where people asked for it, some of them are certain ones.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from hashlib import blake2b

from jobkit.ports.coordinator import Member
from jobkit.worker.latency import NEAR_SECONDS

# Who is so many times as far as another, or less, is as far: what is told changes only by a factor of two.
_ALIKE = 2.5


def fair_share(owner: str, members: Sequence[Member], type: str, partitions: int) -> int:
    """Return how many of a type's partitions `owner` is to lead.

    Workers count alike who are about as near as the nearest; of the others one to whom everything takes ten times as
    long has a hundredth of a share, which is none unless nobody else is there. What cannot be divided goes by largest
    remainder (Hamilton's method), and where those are equal to who comes first in an order that is another one for each
    type (rendezvous hashing), so that it is not the same workers who lead one more of everything, and a newcomer moves
    nobody up.
    """
    serving = [member for member in members if type in member.types]
    nearest = min((member.latency for member in serving), default=0.0)
    weights = {member.owner: _weight(member.latency, nearest) for member in serving}
    if owner not in weights:
        return 0
    quotas = {other: partitions * weight / sum(weights.values()) for other, weight in weights.items()}
    # Rounded, so that what are equal parts by arithmetic are equal parts in floating point, too.
    shares = {other: int(round(quota, 6)) for other, quota in quotas.items()}
    rest = partitions - sum(shares.values())
    in_line = sorted(quotas, key=lambda other: (-round(quotas[other] - shares[other], 6), rank(type, other)))
    return shares[owner] + (owner in in_line[:rest])


def assignments(members: Sequence[Member], type: str, partitions: int) -> Mapping[int, str]:
    """Return who was asked to lead which of a type's partitions, of those who can: they serve it, and are near."""
    serving = [member for member in members if type in member.types]
    nearest = min((member.latency for member in serving), default=0.0)
    return {
        partition.index: member.owner
        for member in serving
        for partition in member.assigned
        if partition.type == type and partition.index < partitions and _weight(member.latency, nearest) == 1.0
    }


def share_with(assigned: Mapping[int, str], owner: str, members: Sequence[Member], type: str, partitions: int) -> int:
    """Return how many of a type's partitions `owner` is to lead: its fair share, or all that are `assigned` to it.

    The others share what is left.
    """
    counts = Counter(assigned.values())
    while over := [one for one in counts if counts[one] > fair_share(one, members, type, partitions)]:
        if owner in over:
            return counts[owner]
        members = [member for member in members if member.owner not in over]
        partitions -= sum(counts.pop(one) for one in over)
    return fair_share(owner, members, type, partitions)


def _weight(latency: float, nearest: float) -> float:
    times_as_far = latency / max(nearest, NEAR_SECONDS)
    return 1.0 if times_as_far <= _ALIKE else times_as_far**-2


def rank(type: str, owner: str) -> bytes:
    """Return where an owner stands in the order of a type."""
    return blake2b(f"{type}/{owner}".encode(), digest_size=8).digest()
