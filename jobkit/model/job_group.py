"""A group of jobs, its members, and the job that runs once all of them have ended.

A group has no name of its own: its id is the id of that job, its `then`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

# What becomes of `then` where members did not commit: it "waits" until those that died are requeued and commit, it
# "runs" with what there is, or it "dies". One that waits dies, too, once there is nothing left to wait for.
OnFailure = Literal["wait", "run", "die"]

# When a job is due that waits for a group: no clock gets there.
WHEN_RELEASED = math.inf
# Why `then` dies where it does.
MEMBERS_FAILED = "members of its group failed"
# Who and why ends what was declared of a group that was never declared whole.
NEVER_WHOLE = "its group was never declared whole"
# Why members end of a group that a job waited for, which was cancelled.
NOT_AWAITED = "the job that waited for its group was cancelled"


@dataclass(frozen=True, slots=True)
class NewGroup:
    """What a `then` job says of the group that it closes: of how many members it is, and what to do if some fail.

    `held`: they are declared in several transactions, so none of them begins before the last is there.
    """

    members: int
    on_failure: OnFailure = "wait"
    held: bool = False

    def __post_init__(self) -> None:
        """Refuse what no store could make a group of. Raises `ValueError`."""
        if self.members < 1:
            raise ValueError("a group has at least one member")
        if self.on_failure not in ("wait", "run", "die"):
            raise ValueError(f'on_failure={self.on_failure!r} is none of "wait", "run" and "die"')
