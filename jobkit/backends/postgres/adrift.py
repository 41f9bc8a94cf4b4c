"""Jobs that nothing in the store brings to a worker: without a message, they wait until they are published again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jobkit.backends.postgres.outbox import with_sequence
from jobkit.ports.adrift import Adrift
from jobkit.ports.inspection import JobState

HORIZON = "SELECT coalesce(max(number), 0) AS number FROM jobkit.jobs"
# The last row of a page is told in any case.
ADRIFT = "SELECT * FROM jobkit.adrift($1, $2, $3, $4, $5, $6)"


def page(rows: Sequence[Mapping[str, Any]], limit: int) -> tuple[list[Adrift], int | None]:
    """Return what the rows of `ADRIFT` say, and where the next page begins."""
    found = [
        Adrift(
            row["number"],
            with_sequence(row["envelope"], row["sequence"]),
            row["state"] == JobState.RUNNING,
            row["owner"],
            row["delayed"],
        )
        for row in rows
        if row["envelope"] is not None
    ]
    return found, rows[-1]["number"] if len(rows) == limit else None
