"""How long the entries of keys' logs are kept, where that is not for ever: as a processor declares it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Literal

from jobkit.model.safe_text import shown

# So long; or until each projection of the log has a snapshot of them. An entry that one has none of stays in any case.
LogRetention = timedelta | Literal["snapshot"]


def problems_of(retention: object, projections: Sequence[Any]) -> list[str]:
    """Return what is wrong with the log retention of a declaration."""
    if retention is None or (isinstance(retention, timedelta) and retention > timedelta(0)):
        return []
    if retention != "snapshot":
        return [f'log_retention must be a positive timedelta or "snapshot", not {shown(retention)}']
    return [] if projections else ['log_retention="snapshot" goes with projections=: nothing else has snapshots']


def seconds_of(retention: LogRetention) -> float:
    """Return how old an entry has to be."""
    return retention.total_seconds() if isinstance(retention, timedelta) else 0.0
