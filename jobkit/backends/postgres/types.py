"""Published job types: what the server is asked to keep of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jobkit.ports.types import PublishedType

# In one order, so that two workers that start at once do not wait for each other in a circle.
SAVE = """
    INSERT INTO jobkit.types (name, definition, published_at)
    SELECT name, definition, jobkit.clock() FROM unnest($1::text[], $2::bytea[]) AS t (name, definition) ORDER BY name
    ON CONFLICT (name) DO UPDATE SET definition = excluded.definition, published_at = excluded.published_at
"""
TYPES = """
    SELECT name, definition, published_at FROM jobkit.types
    WHERE $1::text[] IS NULL OR name = ANY ($1::text[]) ORDER BY name
"""


def columns(types: Sequence[PublishedType]) -> tuple[list[str], list[bytes]]:
    """Return what `SAVE` is told. Of two of one name, the last counts."""
    latest = {type.name: type.definition for type in types}
    return list(latest), list(latest.values())


def published(row: Mapping[str, Any]) -> PublishedType:
    """Return the type in a row."""
    return PublishedType(row["name"], row["definition"], row["published_at"])
