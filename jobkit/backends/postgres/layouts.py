"""How many partitions each type has: one row for each, changed by compare-and-set."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from jobkit.model.layout import Layout

LAYOUTS = "SELECT type, layout FROM jobkit.layouts ORDER BY type"
SET = "SELECT jobkit.set_layout($1, $2, $3, $4) AS done"


def layouts(rows: Iterable[Mapping[str, Any]]) -> dict[str, Layout]:
    """Return the layouts in rows of `LAYOUTS`."""
    return {row["type"]: Layout.unpack(row["layout"]) for row in rows}


def set_arguments(type: str, before: Layout | None, after: Layout) -> tuple[Any, ...]:
    """Return the arguments of `SET`."""
    return (type, None if before is None else before.pack(), after.partitions, after.pack())
