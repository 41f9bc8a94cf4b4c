"""Published job types: one row for each name, as it was published last."""

from __future__ import annotations

import json
from collections.abc import Sequence

from jobkit.backends.sqlite.transaction import Transaction
from jobkit.ports.types import PublishedType

_SAVE = "INSERT OR REPLACE INTO published_types (name, definition, published_at) VALUES (?, ?, ?)"
_TYPES = (
    "SELECT name, definition, published_at FROM published_types "
    "WHERE ?1 IS NULL OR name IN (SELECT value FROM json_each(?1)) ORDER BY name"
)


def save(transaction: Transaction, published: Sequence[PublishedType]) -> None:
    """Keep each of these types under its name."""
    for type in published:
        transaction.execute(_SAVE, (type.name, type.definition, transaction.wall))


def types(transaction: Transaction, names: Sequence[str] | None) -> list[PublishedType]:
    """Return the types of these names, or all, in order of names."""
    rows = transaction.execute(_TYPES, (None if names is None else json.dumps(list(names)),))
    return [PublishedType(*row) for row in rows]
