"""What a run promised, what came of it, and how that is said which differs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from jobkit.model.layout import Layout
from jobkit.model.notice import EndState
from jobkit.ports.broker import QueueDepth
from jobkit.ports.checkpoints import Checkpoint
from jobkit.ports.inspection import JobRecord, JobState, KeyRecord, LoggedEntry, StoreCounts
from jobkit.ports.planes import Planes
from simulation.timetable import Ticks


@dataclass(frozen=True, slots=True)
class Violation:
    """An invariant, by its name in the design, and how it was broken."""

    invariant: str
    detail: str
    at: float | None = None


@dataclass(frozen=True, slots=True)
class Members:
    """The members of a group. `waits`: a dead one has not ended, for somebody is to look after it."""

    ids: Sequence[str]
    waits: bool = False


@dataclass(frozen=True, slots=True)
class Expectation:
    """What a schedule promised: the ids that were accepted, those among them that must end as dead letters.

    `cancelled` has the sequences of the jobs of which a person was told that they are, `keys` the type and key of each
    that was ordered. `due` has the moments before which jobs were not due. `max_failures` bounds the failed attempts of
    a job. `forgetting`: what has ended may be unknown by now. Of what is paused nothing begins `heard_within` so many
    seconds later, where that can be said. Of the types in `at_once` no more jobs run at once than it says, of those in
    `begins` no more begin, for each key, within so many seconds. `ticks` are those of the schedules. The jobs in
    `submitted` take effect in that order on each key, whether they are numbered or not. `groups` have the members of
    each, by the job that closes it. `expired` has those that did, with their sequences. `notifying`: commits are
    told of by their processors; and of which ends its submitter is told of each job is in `notify`.
    """

    accepted: Sequence[str]
    dead: frozenset[str]
    ordered_types: frozenset[str]
    max_failures: int
    forgetting: bool = False
    heard_within: float | None = None
    partitions: int = 1
    cancelled: Mapping[str, int | None] = field(default_factory=dict)
    keys: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    due: Mapping[str, float] = field(default_factory=dict)
    at_once: Mapping[str, int] = field(default_factory=dict)
    begins: Mapping[str, tuple[int, float]] = field(default_factory=dict)
    ticks: Sequence[Ticks] = ()
    groups: Mapping[str, Members] = field(default_factory=dict)
    submitted: Sequence[str] = ()
    expired: Mapping[str, int | None] = field(default_factory=dict)
    notifying: bool = False
    notify: Mapping[str, Sequence[EndState]] = field(default_factory=dict)

    def wanted(self, id: str) -> JobState:
        """Return how a job that was accepted is to end."""
        if id in self.cancelled:
            return JobState.CANCELLED
        if id in self.expired:
            return JobState.EXPIRED
        return JobState.DEAD if id in self.dead else JobState.COMMITTED


@dataclass(frozen=True, slots=True)
class Truth:
    """What the store and the broker hold at the end."""

    jobs: Mapping[str, JobRecord | None]
    keys: Sequence[KeyRecord]
    logs: Mapping[str, Sequence[LoggedEntry]]
    counts: StoreCounts
    depths: Sequence[QueueDepth]
    layouts: Mapping[str, Layout] = field(default_factory=dict)
    kept: Mapping[str, Sequence[Checkpoint]] = field(default_factory=dict)

    @classmethod
    async def of(cls, planes: Planes, accepted: Sequence[str], dropped: Mapping[str, Sequence[LoggedEntry]]) -> Truth:
        """Read it, past the simulated network; the logs with what was `dropped` of each."""
        keys = await planes.inspection.keys(limit=100_000)
        return cls(
            jobs={id: await planes.inspection.job(id) for id in accepted},
            keys=keys,
            logs={
                (resource := f"{key.type}/{key.key}"): [
                    *dropped.get(resource, ()),
                    *await planes.inspection.log(key.type, key.key, limit=100_000),
                ]
                for key in keys
            },
            counts=await planes.inspection.counts(),
            depths=await planes.broker.depths(),
            layouts=await planes.store.layouts(),
            kept={id: await planes.store.checkpoints(id) for id in accepted},
        )


NOTHING = Truth({}, (), {}, StoreCounts({}, outbox=0, shelved=0, parked=0, dead=0, keys=0), ())
