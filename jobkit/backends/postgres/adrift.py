"""Jobs that nothing in the store brings to a worker: without a message, they wait until they are published again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jobkit.backends.postgres.outbox import with_sequence
from jobkit.ports.inspection import JobState
from jobkit.ports.store import Adrift

HORIZON = "SELECT coalesce(max(number), 0) AS number FROM jobkit.jobs"
# Looks at the index alone, for the jobs of other partitions; the last row of a page is told in any case.
ADRIFT = """
    SELECT l.number, j.sequence, j.envelope, j.state, j.owner
    FROM (
        SELECT number, slot FROM jobkit.jobs
        WHERE type = $1 AND ended IS NULL AND due IS NULL AND number > $4 AND number <= $5 ORDER BY number LIMIT $6
    ) l
    LEFT JOIN jobkit.jobs j ON j.number = l.number AND l.slot % $2::bigint = $3::bigint AND j.state <> 'parked'
        AND NOT EXISTS (SELECT FROM jobkit.outbox o WHERE o.position = j.entry)
        AND NOT EXISTS (SELECT FROM jobkit.inflight i WHERE i.id = j.id)
    ORDER BY l.number
"""


def page(rows: Sequence[Mapping[str, Any]], limit: int) -> tuple[list[Adrift], int | None]:
    """Return what the rows of `ADRIFT` say, and where the next page begins."""
    found = [
        Adrift(
            row["number"],
            with_sequence(row["envelope"], row["sequence"]),
            row["state"] == JobState.RUNNING,
            row["owner"],
        )
        for row in rows
        if row["envelope"] is not None
    ]
    return found, rows[-1]["number"] if len(rows) == limit else None
