"""Leases as rows: plain functions from a transaction and values to an answer.

None of them waits, and none reads a clock: the transaction brings the moment that decides expiry.
"""

from __future__ import annotations

from collections.abc import Sequence

from jobkit.backends.sqlite import limit_uses, members
from jobkit.backends.sqlite.transaction import Transaction
from jobkit.model.limit import Limit
from jobkit.ports.coordinator import Granted, Held, LeaseInfo, LeaseRef
from jobkit.ports.limits import Limited
from jobkit.ports.notifier import lease_topic


def claim(
    transaction: Transaction,
    resource: str,
    *,
    owner: str,
    nonce: str,
    ttl: float,
    floor: int,
    limits: Sequence[Limit] = (),
) -> Granted | Held | Limited:
    """Lease a free resource under a new token, with its limits; the lease a nonce already has is answered again."""
    row = transaction.execute(
        "SELECT owner, token, nonce, expires FROM leases WHERE resource = ?", (resource,)
    ).fetchone()
    if row is not None and row[3] > transaction.now:
        holder, token, holding_nonce, expires = row
        return Granted(token) if holding_nonce == nonce else Held(holder, token, expires - transaction.now)
    uses = None
    if limits:
        refused = limit_uses.used_up(transaction, limits)
        if refused is not None:
            return refused
        uses = limit_uses.take(transaction, limits, resource, nonce, ttl)
    (token,) = transaction.execute(
        "UPDATE tokens SET highest = max(highest, ?) + 1 RETURNING highest", (floor,)
    ).fetchone()
    transaction.execute(
        "REPLACE INTO leases (resource, owner, token, nonce, expires, limits) VALUES (?, ?, ?, ?, ?, ?)",
        (resource, owner, token, nonce, transaction.now + ttl, uses),
    )
    return Granted(token)


def renew(transaction: Transaction, leases: Sequence[LeaseRef], *, ttl: float) -> frozenset[LeaseRef]:
    """Extend the leases that still live, and return them."""
    kept = set()
    for lease in leases:
        changed = transaction.execute(
            "UPDATE leases SET expires = ? WHERE resource = ? AND token = ? AND nonce = ? AND expires > ? "
            "RETURNING limits",
            (transaction.now + ttl, lease.resource, lease.token, lease.nonce, transaction.now),
        ).fetchone()
        if changed is not None:
            kept.add(lease)
            if changed[0] is not None:
                limit_uses.renew(transaction, changed[0], lease, ttl)
    return frozenset(kept)


def release(transaction: Transaction, lease: LeaseRef, *, unused: bool = False) -> bool:
    """Compare and delete, in one statement; its limits go with it."""
    deleted = transaction.execute(
        "DELETE FROM leases WHERE resource = ? AND token = ? AND nonce = ? RETURNING expires, limits",
        (lease.resource, lease.token, lease.nonce),
    ).fetchone()
    transaction.notify(lease_topic(lease.resource))
    if deleted is None:
        return False
    expires, uses = deleted
    if uses is not None:
        limit_uses.give_back(transaction, uses, lease, unused=unused)
    return bool(expires > transaction.now)


def reached(transaction: Transaction, resource: str) -> tuple[frozenset[tuple[str, int]], float]:
    """Return the live holdings of `resource`, or of all below it where it ends in "/", as (resource, token).

    With it comes in how many seconds the first of them ends, unless it is renewed or released before.
    """
    condition = "resource = ?1" if not resource.endswith("/") else "substr(resource, 1, length(?1)) = ?1"
    rows = transaction.execute(
        f"SELECT resource, token, expires FROM leases WHERE {condition} AND expires > ?2",  # noqa: S608
        (resource, transaction.now),
    ).fetchall()
    holdings = frozenset((held, token) for held, token, _ in rows)
    return holdings, min((expires for *_, expires in rows), default=float("inf")) - transaction.now


def sweep(transaction: Transaction) -> None:
    """Remove what has expired, so that the tables stay as small as what is held."""
    transaction.execute("DELETE FROM leases WHERE expires <= ?", (transaction.now,))
    members.sweep(transaction)
    limit_uses.sweep(transaction)


def live_leases(transaction: Transaction, prefix: str) -> list[LeaseInfo]:
    """Return the live leases whose resource starts with `prefix`, by resource."""
    rows = transaction.execute(
        "SELECT resource, owner, token, expires FROM leases "
        "WHERE expires > ? AND substr(resource, 1, length(?)) = ? ORDER BY resource",
        (transaction.now, prefix, prefix),
    )
    return [LeaseInfo(resource, owner, token, expires - transaction.now) for resource, owner, token, expires in rows]


def identity(transaction: Transaction) -> str:
    """Return what was drawn for this file when it was made."""
    (found,) = transaction.execute("SELECT identity FROM coordinator").fetchone()
    return str(found)
