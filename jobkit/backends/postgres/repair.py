"""The repairs that only a command may do: requeue, purge, resume, skip."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

ENVELOPE_OF_LETTER = "SELECT envelope FROM jobkit.dead WHERE number = $1 AND envelope IS NOT NULL"
REQUEUE = "SELECT jobkit.requeue_dead($1, $2, $3) AS done"
PURGE = "DELETE FROM jobkit.dead WHERE number = $1 RETURNING number"
RESUME = "SELECT jobkit.resume_gap($1, $2) AS released"
SKIP = "SELECT * FROM jobkit.skip_gap($1, $2, $3)"


def skipped(type: str, key: str, before: int, row: Mapping[str, Any]) -> int:
    """Return what `SKIP` says. Raises `ValueError` where nothing could be skipped."""
    if row["released"] is None:
        raise ValueError(f"{type}/{key} waits for sequence {row['expected']}: nothing can be skipped before {before}")
    released: int = row["released"]
    return released
