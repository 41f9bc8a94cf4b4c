"""Looking for jobs: queries for a bounded number of rows, in the order of an index that leaves out all others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jobkit.backends.postgres.inspection import BY_STATE, JOB
from jobkit.backends.postgres.sanitize import fit
from jobkit.model.job_filter import CLOCKS_APART, JobFilter
from jobkit.model.job_state import JobState
from jobkit.model.tags import CARRIED_AS

Row = Mapping[str, Any]

# The types that have jobs that have yet to end: their indexes lead with it.
TYPES = """
    WITH RECURSIVE found(type) AS (
        SELECT min(type) FROM jobkit.jobs WHERE ended IS NULL
        UNION ALL SELECT (SELECT min(type) FROM jobkit.jobs WHERE ended IS NULL AND type > found.type) FROM found
        WHERE found.type IS NOT NULL
    ) SELECT type FROM found WHERE type IS NOT NULL
"""
# Halves the numbers until it has found those before which nobody submitted after a time.
SUBMITTED_AFTER = """
    WITH RECURSIVE halves(low, high) AS (
        SELECT 0::bigint, (SELECT coalesce(max(number), 0) + 1 FROM jobkit.jobs)
        UNION ALL
        SELECT CASE WHEN late THEN low ELSE middle END, CASE WHEN late THEN middle ELSE high END FROM (
            SELECT low, high, (low + high) / 2 AS middle, coalesce(
                (SELECT submitted_at FROM jobkit.jobs WHERE number >= (low + high) / 2 ORDER BY number LIMIT 1)
                > $1::double precision, true
            ) AS late FROM halves WHERE high - low > 1
        ) halved
    ) SELECT high FROM halves ORDER BY high - low LIMIT 1
"""
_FAILED_WITH = """(
    strpos(lower(reason COLLATE "C"), lower({0} COLLATE "C")) > 0 OR EXISTS (
        SELECT 1 FROM unnest(failures) AS failure
        WHERE strpos(lower((failure::json ->> 'error') COLLATE "C"), lower({0} COLLATE "C")) > 0
    )
)"""
_TAGGED = f"strpos(' ' || (trace::json ->> '{CARRIED_AS}') || ' ', ' ' || {{0}}::text || ' ') > 0"
LAST = (1 << 63) - 1


def leads_with_type(wanted: JobFilter) -> bool:
    """Tell whether the index for what is wanted leads with the type."""
    return wanted.state is not None and not wanted.state.ended


def last_query(wanted: JobFilter, types: Sequence[str] | None, below: int, look_at: int) -> tuple[str, tuple[Any, ...]]:
    """Return the query for the number of the last job to look at, and when it was submitted; no row before the end."""
    condition = "true" if wanted.state in (None, JobState.COMMITTED) else BY_STATE[wanted.state]
    within, order = "number < $1", "number DESC"
    if types is not None:
        # Of a type, as the planner is not to see it: it would go through the numbers of all types in their order.
        within, order = "(jobs.type, number) < (t.type, $1) AND jobs.type >= t.type", "jobs.type DESC, number DESC"
    one = (
        f"SELECT number, submitted_at FROM jobkit.jobs WHERE {condition} AND {within} "  # noqa: S608
        f"ORDER BY {order} LIMIT 1 OFFSET $2"
    )
    if types is None:
        return one, (below, look_at - 1)
    every = f"SELECT looked.* FROM unnest($3::text[]) AS t(type), LATERAL ({one}) looked ORDER BY number DESC LIMIT 1"  # noqa: S608
    return every, (below, look_at - 1, list(types))


def page_query(
    wanted: JobFilter, types: Sequence[str] | None, below: int, last: int, limit: int
) -> tuple[str, tuple[Any, ...]]:
    """Return the query for the jobs that match from the number `last` up, and below `below`; and its arguments."""
    conditions, values = [], list[Any]([below, last, limit])
    if wanted.state not in (None, JobState.COMMITTED):
        conditions.append(BY_STATE[wanted.state])
    for condition, asked in (
        ("type = ANY ({0}::text[])", types if types is None else list(types)),
        ("type = {0}", fit(wanted.type) if wanted.type is not None and types is None else None),
        ("key = {0}", None if wanted.key is None else fit(wanted.key)),
        ("state = {0}", None if wanted.state is None else wanted.state.value),
        ("starts_with(owner, {0}::text)", None if wanted.worker is None else fit(wanted.worker)),
        (_FAILED_WITH, None if wanted.error is None else fit(wanted.error)),
        ("submitted_at >= {0}", wanted.since),
        ("submitted_at <= {0}", wanted.until),
        (_TAGGED, None if wanted.tag is None else fit(wanted.tag)),
    ):
        if asked is not None:
            values.append(asked)
            conditions.append(condition.format(f"${len(values)}"))
    within = " AND ".join(["number < $1 AND number >= $2", *conditions])
    # The number is the last column, and no part of a job's record.
    statement = f"{JOB.replace(' FROM jobkit.jobs ', ', number FROM jobkit.jobs ')}WHERE {within} "
    return f"{statement}ORDER BY number DESC LIMIT $3", tuple(values)


def ends(wanted: JobFilter, last: Row | None) -> bool:
    """Tell whether nothing that is wanted lies below the last job that was looked at."""
    return last is None or (wanted.since is not None and last["submitted_at"] < wanted.since - CLOCKS_APART)
