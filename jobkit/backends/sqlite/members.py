"""Which workers are alive, and what people asked of them."""

from __future__ import annotations

import json

from jobkit.backends.sqlite.transaction import Transaction
from jobkit.model.partition import Partition
from jobkit.ports.coordinator import Member

_MEMBERS = (
    "SELECT owner, types, latency, dismissed, (SELECT json_group_array(json_array(type, partition)) FROM "
    "(SELECT type, partition FROM assigned WHERE assigned.owner = members.owner ORDER BY type, partition)) "
    "FROM members WHERE expires > ? ORDER BY owner"
)


def heartbeat(transaction: Transaction, member: Member, *, ttl: float) -> list[Member]:
    """Count `member` as live, forget who is not, and return all live ones."""
    if transaction.execute("DELETE FROM members WHERE expires <= ?", (transaction.now,)).rowcount:
        sweep(transaction)
    transaction.execute(
        "INSERT INTO members (owner, types, latency, expires) VALUES (?, ?, ?, ?) ON CONFLICT (owner) DO UPDATE "
        "SET types = excluded.types, latency = excluded.latency, expires = excluded.expires",
        (member.owner, json.dumps(member.types), member.latency, transaction.now + ttl),
    )
    return members(transaction)


def leave(transaction: Transaction, owner: str) -> None:
    """Stop counting `owner` as live."""
    transaction.execute("DELETE FROM members WHERE owner = ?", (owner,))
    transaction.execute("DELETE FROM assigned WHERE owner = ?", (owner,))


def members(transaction: Transaction) -> list[Member]:
    """Return the live members by owner."""
    rows = transaction.execute(_MEMBERS, (transaction.now,))
    return [
        Member(
            owner,
            tuple(json.loads(types)),
            latency,
            tuple(Partition(type, index) for type, index in json.loads(assigned)),
            bool(dismissed),
        )
        for owner, types, latency, dismissed, assigned in rows
    ]


def assign(transaction: Transaction, partition: Partition, owner: str) -> bool:
    """Have a live member asked to lead a partition."""
    return bool(
        transaction.execute(
            "REPLACE INTO assigned (type, partition, owner) "
            "SELECT ?, ?, owner FROM members WHERE owner = ? AND expires > ?",
            (partition.type, partition.index, owner, transaction.now),
        ).rowcount
    )


def dismiss(transaction: Transaction, owner: str) -> bool:
    """Have a live member asked to end."""
    return bool(
        transaction.execute(
            "UPDATE members SET dismissed = 1 WHERE owner = ? AND expires > ?", (owner, transaction.now)
        ).rowcount
    )


def sweep(transaction: Transaction) -> None:
    """Forget what was asked of those that are gone."""
    transaction.execute("DELETE FROM assigned WHERE owner NOT IN (SELECT owner FROM members)")
