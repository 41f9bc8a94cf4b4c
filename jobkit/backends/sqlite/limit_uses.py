"""The uses of limits as rows, each with an end: a lease's is renewed with it, that of a start ends by itself."""

from __future__ import annotations

import json
from collections.abc import Sequence

from jobkit.backends.sqlite.transaction import Transaction
from jobkit.model.limit import Limit
from jobkit.ports.coordinator import LeaseRef
from jobkit.ports.limits import Limited, LimitInfo, Waiting
from jobkit.ports.notifier import limit_topic


def used_up(transaction: Transaction, limits: Sequence[Limit]) -> Limited | None:
    """Return the first of `limits` that has no room, with when the first of its uses ends."""
    for limit in limits:
        used, ends = transaction.execute(
            "SELECT count(*), min(expires) FROM limit_uses WHERE bucket = ? AND expires > ?",
            (limit.bucket, transaction.now),
        ).fetchone()
        if used >= limit.count:
            return Limited(limit, ends - transaction.now)
    return None


def take(transaction: Transaction, limits: Sequence[Limit], resource: str, nonce: str, ttl: float) -> str:
    """Use `limits` for a lease, and return what the lease is to remember of it."""
    uses = [(limit.bucket, resource if limit.per is None else nonce) for limit in limits]
    for limit, (bucket, holder) in zip(limits, uses, strict=True):
        transaction.execute(
            "REPLACE INTO limit_uses (bucket, holder, expires) VALUES (?, ?, ?)",
            (bucket, holder, transaction.now + (ttl if limit.per is None else limit.per)),
        )
        transaction.execute(
            "REPLACE INTO limits (bucket, count, per) VALUES (?, ?, ?)", (bucket, limit.count, limit.per)
        )
    return json.dumps(uses)


def renew(transaction: Transaction, uses: str, lease: LeaseRef, ttl: float) -> None:
    """Extend what a lease has with it."""
    transaction.executemany(
        "UPDATE limit_uses SET expires = ? WHERE bucket = ? AND holder = ?",
        [(transaction.now + ttl, bucket, holder) for bucket, holder in json.loads(uses) if holder == lease.resource],
    )


def give_back(transaction: Transaction, uses: str, lease: LeaseRef, *, unused: bool) -> None:
    """End what a lease has, and its start where nothing had begun."""
    for bucket, holder in json.loads(uses):
        if unused or holder == lease.resource:
            transaction.execute("DELETE FROM limit_uses WHERE bucket = ? AND holder = ?", (bucket, holder))
            transaction.notify(limit_topic(bucket))


def in_use(transaction: Transaction, prefix: str, *, after: str, limit: int) -> list[LimitInfo]:
    """Return limits in use whose bucket starts with `prefix`, by bucket, those above `after`."""
    # What has ended is swept soon, so that few of them are idle.
    rows = transaction.execute(
        "SELECT bucket, count, per FROM limits "
        "WHERE bucket >= ?1 AND bucket > ?2 AND substr(bucket, 1, length(?1)) = ?1 "
        "AND EXISTS (SELECT 1 FROM limit_uses u WHERE u.bucket = limits.bucket AND u.expires > ?3) "
        "ORDER BY bucket LIMIT ?4",
        (prefix, after, transaction.now, limit),
    )
    return [_use(transaction, Limit(*row)) for row in rows.fetchall()]


def _use(transaction: Transaction, limit: Limit) -> LimitInfo:
    live = "FROM limit_uses WHERE bucket = ? AND expires > ?"
    name = (limit.bucket, transaction.now)
    used, ends = transaction.execute(f"SELECT count(*), min(expires) {live}", name).fetchone()
    holders: tuple[str, ...] = ()
    if limit.per is None:
        holders = tuple(one for (one,) in transaction.execute(f"SELECT holder {live} ORDER BY holder", name))
    return LimitInfo(limit, used, ends - transaction.now, holders)


def note_waiting(transaction: Transaction, owner: str, waiting: Sequence[Waiting], *, ttl: float) -> None:
    """Note what waits at a worker."""
    told = json.dumps([(one.bucket, one.number, one.ids) for one in waiting])
    transaction.execute(
        "REPLACE INTO waiting (owner, told, expires) VALUES (?, ?, ?)", (owner, told, transaction.now + ttl)
    )


def waiting(transaction: Transaction) -> list[Waiting]:
    """Return what was noted, by owner and bucket."""
    rows = transaction.execute("SELECT owner, told FROM waiting WHERE expires > ? ORDER BY owner", (transaction.now,))
    return [
        Waiting(owner, bucket, number, tuple(ids))
        for owner, told in rows
        for bucket, number, ids in sorted(json.loads(told))
    ]


def sweep(transaction: Transaction) -> None:
    """Remove what has ended."""
    transaction.execute("DELETE FROM limit_uses WHERE expires <= ?", (transaction.now,))
    transaction.execute(
        "DELETE FROM limits WHERE NOT EXISTS (SELECT 1 FROM limit_uses WHERE limit_uses.bucket = limits.bucket)"
    )
    transaction.execute("DELETE FROM waiting WHERE expires <= ?", (transaction.now,))
