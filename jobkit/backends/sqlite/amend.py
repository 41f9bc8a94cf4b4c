"""Amending a key: records that are derived from its log, written outside of any job."""

from __future__ import annotations

from collections.abc import Mapping

from jobkit.backends.sqlite.open import set_mark
from jobkit.backends.sqlite.transaction import Transaction
from jobkit.model.fence import Fence
from jobkit.ports.store import Stale


def amend(
    transaction: Transaction, type: str, key: str, fence: Fence, records: Mapping[str, bytes], *, log_length: int
) -> bool | Stale:
    """Set the mark, and write the records where the log is as long as the caller believes; tell whether it was."""
    row = transaction.execute(
        "SELECT token, nonce, log_length FROM keys WHERE type = ? AND key = ?", (type, key)
    ).fetchone()
    if row is None:
        return False
    token, nonce, length = row
    if (fence.token, fence.nonce) != (token, nonce):
        if fence.token <= token:
            return Stale(token)
        set_mark(transaction, type, key, fence)
    if length != log_length:
        return False
    transaction.executemany(
        "REPLACE INTO records (type, key, name, value) VALUES (?, ?, ?, ?)",
        [(type, key, name, value) for name, value in records.items()],
    )
    return True
