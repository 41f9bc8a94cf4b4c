"""Groups of jobs, as the store keeps them: counted, so that no member costs more the more there are."""

from __future__ import annotations

from collections.abc import AsyncIterator, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, TypeVar, cast

from jobkit.model.job_group import OnFailure
from jobkit.model.job_state import JobState
from jobkit.model.read_back import codec_of

M = TypeVar("M")
_Kind: TypeAlias = type[M]

# So many members are looked at, declared or released in one transaction.
MEMBERS_AT_ONCE = 500
# A group that is not declared whole so many seconds after it was last added to is dropped.
DECLARED_WITHIN = 3_600.0


@dataclass(frozen=True, slots=True)
class GroupRecord:
    """A group: how many of its members have yet to end, and how the others did.

    `id` is that of its `then` job. It was made in the commit of its `parent`, or by a client. Until all of its members
    are `declared`, and where it is `abandoned` before, none of them begins. `settled`: `then` was released, or died.
    `purged` are dead members whose letters were purged.
    """

    id: str
    parent: str | None
    on_failure: OnFailure
    declared: bool
    abandoned: bool
    settled: bool
    unended: int
    committed: int
    dead: int
    purged: int
    cancelled: int
    expired: int

    @property
    def members(self) -> int:
        """How many members it has."""
        return self.unended + self.committed + self.failed

    @property
    def failed(self) -> int:
        """How many of its members have ended without having committed."""
        return self.dead + self.purged + self.cancelled + self.expired

    @property
    def progress(self) -> float:
        """The share of its members that have ended, from 0 to 1."""
        return 1 - self.unended / self.members


@dataclass(frozen=True, slots=True)
class GroupMember:
    """One member of a group; `number` is its place in the order of submission, and `result` is JSON.

    One that `closes` a group is that group's `then`.
    """

    number: int
    id: str
    type: str
    key: str
    state: JobState
    result: bytes | None
    closes: bool = False

    def load(self, kind: _Kind[M]) -> M | None:
        """Return the result as a value of this type, or None where the member has not committed.

        Raises pydantic's `ValidationError` where it is none.
        """
        if self.result is None:
            return None
        found: Any = codec_of(cast("Hashable", kind)).load(self.result)
        return found  # type: ignore[no-any-return]


class Groups(Protocol):
    """The part of a store that knows of groups. Every method may raise `Unavailable`.

    A group comes into being as its `then` is accepted (`NewJob.closes`), and gets its members as these are
    (`NewJob.member_of`), which come after it: in one `submit`, in several, or in a commit. `then` is scheduled until
    the last member has ended. The transaction that ends it, and no other, publishes `then`, or dead-letters it, as the
    group's `on_failure` says. It is never published twice: what becomes of a member later, by a requeue, changes
    counts alone.

    A member whose commit makes another group hands on its place: that group's `then` is a member in its stead.

    A group is known as long as its `then` is, and that as long as members have yet to end; its members are known as
    long as the group is.
    """

    async def group(self, id: str) -> GroupRecord | None:
        """Return a group, or None where no job of that id closes one."""
        ...

    async def members(self, id: str, *, after: int = 0, limit: int = MEMBERS_AT_ONCE) -> Sequence[GroupMember]:
        """Return members of a group with a number above `after`, in order: those known so far."""
        ...

    async def groups(self, *, below: str | None = None, limit: int = 100) -> Sequence[GroupRecord]:
        """Return groups with ids below that one, or from the last on, in descending order of their ids' UTF-8 bytes.

        Where clients leave ids to be made, those tell the time: the latest group comes first.
        """
        ...

    async def groups_of(self, parent: str, *, after: str = "", limit: int = 100) -> Sequence[GroupRecord]:
        """Return the groups that the commit of a job made, with ids above `after`, in order."""
        ...


async def group_members(groups: Groups, id: str) -> AsyncIterator[GroupMember]:
    """Yield the members of a group, in order, of which only a page is held at a time. Raises `Unavailable`."""
    after = 0
    while page := await groups.members(id, after=after):
        for member in page:
            yield member
        after = page[-1].number
