"""Groups of jobs: queries, and rows turned into the values of `jobkit.ports.groups`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jobkit.backends.postgres.sanitize import fit
from jobkit.model.job_state import JobState
from jobkit.ports.groups import GroupMember, GroupRecord

_GROUP = """
    SELECT g.id, g.parent, g.on_failure, g.undeclared = 0 AS declared, g.abandoned, g.settled, c.*
    FROM jobkit.job_groups g CROSS JOIN LATERAL (
        SELECT sum(unended)::bigint AS unended, sum(committed)::bigint AS committed, sum(dead)::bigint AS dead,
               sum(purged)::bigint AS purged, sum(cancelled)::bigint AS cancelled, sum(expired)::bigint AS expired
        FROM jobkit.job_group_counts k WHERE k.id = g.id
    ) c
"""
GROUP = _GROUP + "WHERE g.id = $1"
GROUPS_OF = _GROUP + "WHERE g.parent = $1 AND g.id > $2 ORDER BY g.id LIMIT $3"
MEMBERS = """
    SELECT number, id, type, coalesce(key, '') AS key, state, result,
           EXISTS (SELECT FROM jobkit.job_groups g WHERE g.id = jobs.id) AS closes FROM jobkit.jobs
    WHERE member_of = $1 AND number > $2 ORDER BY number LIMIT $3
"""


def groups_query(below: str | None, limit: int) -> tuple[Any, ...]:
    """Return the query for groups, those with the highest ids first, and its arguments."""
    if below is None:
        return _GROUP + "ORDER BY g.id DESC LIMIT $1", limit
    return _GROUP + "WHERE g.id < $1 ORDER BY g.id DESC LIMIT $2", fit(below), limit


def group(row: Mapping[str, Any]) -> GroupRecord:
    """Return the group in a row."""
    return GroupRecord(**row)


def member(row: Mapping[str, Any]) -> GroupMember:
    """Return the member in a row."""
    return GroupMember(**{**row, "state": JobState(row["state"])})
