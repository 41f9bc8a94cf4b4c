"""A job with the groups that it made, their members, and the groups within those: as a tree that has a bound."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from jobkit.client import found_job
from jobkit.model.job_state import JobState
from jobkit.ports.groups import GroupRecord
from jobkit.ports.inspection import Inspection
from jobkit.ports.store import Store

# So many members of a group are shown, and so many jobs in all.
MEMBERS_SHOWN = 100
JOBS_SHOWN = 1_000


@dataclass(frozen=True, slots=True)
class JobTree:
    """One job; where it closes a `group`, its `below` are the members, and else the jobs that close groups it made.

    `left_out` members of the group are not shown.
    """

    id: str
    type: str
    key: str
    state: JobState
    group: GroupRecord | None
    below: tuple[JobTree, ...]
    left_out: int = 0


@dataclass(slots=True)
class _Reading:
    store: Store
    inspection: Inspection
    room: int = field(default=JOBS_SHOWN)

    async def job(self, id: str) -> JobTree:
        job = await found_job(self.inspection, id)
        group = await self.store.group(id)
        # A group that it waits for itself is shown as its own.
        others = [one for one in await self.store.groups_of(id) if one.id != id]
        made = [await self.job(one.id) for one in others if self._takes_one()]
        members = () if group is None else await self._members(group)
        return JobTree(id, job.type, job.key, job.state, group, (*members, *made), _left_out(group, members))

    async def _members(self, group: GroupRecord) -> tuple[JobTree, ...]:
        found = []
        for member in await self.store.members(group.id, limit=MEMBERS_SHOWN):
            if not self._takes_one():
                break
            # The groups that a member made are beside it, in its place.
            inner = await self.store.group(member.id) if member.closes else None
            below = () if inner is None else await self._members(inner)
            named = (member.id, member.type, member.key, member.state)
            found.append(JobTree(*named, inner, below, _left_out(inner, below)))
        return tuple(found)

    def _takes_one(self) -> bool:
        self.room -= 1
        return self.room >= 0


def _left_out(group: GroupRecord | None, shown: tuple[JobTree, ...]) -> int:
    return 0 if group is None else group.members - len(shown)


async def job_tree(store: Store, inspection: Inspection, id: str) -> JobTree:
    """Return a job and what is below it. Raises `JobNotFound` or `Unavailable`."""
    return await _Reading(store, inspection).job(id)


def tree_view(tree: JobTree) -> dict[str, Any]:
    """Return a tree for JSON."""
    return {
        "id": tree.id,
        "type": tree.type,
        "key": tree.key,
        "state": tree.state.value,
        "group": None if tree.group is None else group_view(tree.group),
        "below": [tree_view(one) for one in tree.below],
        "left_out": tree.left_out,
    }


def group_view(group: GroupRecord) -> dict[str, Any]:
    """Return a group for JSON."""
    counted = ("members", "unended", "committed", "dead", "purged", "cancelled", "expired")
    return {
        "id": group.id,
        "parent": group.parent,
        "on_failure": group.on_failure,
        "declared": group.declared,
        "abandoned": group.abandoned,
        "settled": group.settled,
        "progress": group.progress,
        **{name: getattr(group, name) for name in counted},
    }


def tree_lines(tree: JobTree, stem: str = "", branch: str = "") -> Iterator[str]:
    """Yield a tree as lines of text."""
    words = f"{tree.id}  {tree.type}  {tree.state.value}"
    yield stem + branch + (words if tree.group is None else f"{words}  {group_words(tree.group)}")
    stem += {"": "", "|- ": "|  "}.get(branch, "   ")
    for place, below in enumerate(tree.below, 1):
        last = place == len(tree.below) and not tree.left_out
        yield from tree_lines(below, stem, "`- " if last else "|- ")
    if tree.left_out:
        yield f"{stem}`- and {tree.left_out:,} more"


def group_words(group: GroupRecord) -> str:
    """Say in a few words how far a group is."""
    ended = group.members - group.unended
    failed = f", {group.failed:,} failed" if group.failed else ""
    return f"({ended:,} of {group.members:,} ended{failed})"
