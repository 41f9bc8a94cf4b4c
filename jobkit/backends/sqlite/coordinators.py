"""By which coordinators the workers on this store go: more than one is a mistake that no lease can show."""

from __future__ import annotations

from jobkit.backends.sqlite.transaction import Transaction
from jobkit.ports.rules import COORDINATORS_KEPT


def note(transaction: Transaction, identity: str) -> None:
    """Note that a worker goes by a coordinator just now."""
    transaction.execute("DELETE FROM coordinators WHERE seen < ?", (transaction.now - COORDINATORS_KEPT,))
    transaction.execute("REPLACE INTO coordinators (identity, seen) VALUES (?, ?)", (identity, transaction.now))


def noted(transaction: Transaction, *, within: float) -> list[str]:
    """Return those noted in the last `within` seconds."""
    rows = transaction.execute(
        "SELECT identity FROM coordinators WHERE seen >= ? ORDER BY identity", (transaction.now - within,)
    )
    return [identity for (identity,) in rows]
