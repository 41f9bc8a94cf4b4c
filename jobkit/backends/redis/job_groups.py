"""Groups of jobs: rows turned into the values of `jobkit.ports.groups`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jobkit.backends.redis.submit import store_script
from jobkit.model.job_state import JobState
from jobkit.ports.groups import GroupMember, GroupRecord

GROUP = store_script("group", "views")
GROUPS = store_script("groups", "views")
GROUPS_OF = store_script("groups_of", "views")
MEMBERS = store_script("members")


def group(row: Sequence[Any]) -> GroupRecord:
    """Return the group in a row."""
    parent, on_failure, undeclared, abandoned, settled, *counts, id = row
    return GroupRecord(
        id.decode(),
        None if parent is None else parent.decode(),
        on_failure.decode(),
        int(undeclared) == 0,
        abandoned is not None,
        settled is not None,
        *(int(count or 0) for count in counts),
    )


def member(row: Sequence[Any]) -> GroupMember:
    """Return the member in a row."""
    number, id, type, key, state, result, closes = row
    named = (int(number), id.decode(), type.decode(), (key or b"").decode())
    return GroupMember(*named, JobState(state.decode()), result, closes is not None)
