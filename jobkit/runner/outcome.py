"""What the pipeline tells a lane of a job, and what the lane keeps for the next one of its key."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from jobkit.leases import Lease
from jobkit.model.fence import Fence, Receipt
from jobkit.ports.store import Opened
from jobkit.runner.decode import Job


@dataclass(frozen=True, slots=True)
class Settled:
    """The store knows the outcome: ack with this receipt."""

    receipt: Receipt


@dataclass(frozen=True, slots=True)
class Ahead:
    """The key waits for sequence `expected`; `blocked` where that will not come by itself."""

    expected: int
    blocked: bool


@dataclass(frozen=True, slots=True)
class TryAgain:
    """Nothing is settled; come back after `seconds`. `requeue`: the broker may keep the job until then."""

    seconds: float
    requeue: bool = False


@dataclass(frozen=True, slots=True)
class Outbid:
    """The lease is lost, or the store has refused what was done under it: somebody else has the key, or may have.

    Come back, later each time that this happens: two workers that outbid each other at once would both never commit.
    """


class Suspect:
    """The job may take its worker down: it is not to run beside others."""


PipelineOutcome = Settled | Ahead | TryAgain | Outbid


@dataclass(slots=True)
class BegunAhead:
    """A job that was opened before its turn; without an `answer` it may have been."""

    job: Job
    fence: Fence
    answer: Opened | None = None


class KeyLease:
    """The lease that a lane has on its key, kept from one job to the next; `job` is the last that ran under it.

    `following` returns the job that comes next if the current one ends well, where that is known. `far`: an answer of
    the store takes long.
    """

    __slots__ = ("ahead", "far", "following", "job", "lease")

    def __init__(self, following: Callable[[], Job | None]) -> None:
        self.lease: Lease | None = None
        self.job: Job | None = None
        self.ahead: BegunAhead | None = None
        self.far = False
        self.following = following

    def take(self) -> Lease | None:
        """Return the lease that was kept, once."""
        lease, self.lease = self.lease, None
        return lease
