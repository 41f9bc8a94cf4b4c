"""How many partitions each type has: one row for each, changed by compare-and-set."""

from __future__ import annotations

from jobkit.backends.sqlite.transaction import Transaction
from jobkit.model.layout import Layout


def layouts(transaction: Transaction) -> dict[str, Layout]:
    """Return the layout of each type that has one."""
    rows = transaction.execute("SELECT type, layout FROM layouts ORDER BY type")
    return {type: Layout.unpack(layout) for type, layout in rows}


def set_layout(transaction: Transaction, type: str, before: Layout | None, after: Layout) -> bool:
    """Replace a layout if it is `before`; tell whether it was."""
    if before is None:
        set_ = transaction.execute(
            "INSERT INTO layouts (type, partitions, layout) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
            (type, after.partitions, after.pack()),
        )
    else:
        set_ = transaction.execute(
            "UPDATE layouts SET partitions = ?, layout = ? WHERE type = ? AND layout = ?",
            (after.partitions, after.pack(), type, before.pack()),
        )
    return set_.rowcount == 1
