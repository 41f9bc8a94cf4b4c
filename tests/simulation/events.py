"""What can happen in a simulation, as the planes, the processors and people saw it."""

from __future__ import annotations

from dataclasses import dataclass

from jobkit.model.fence import Fence
from jobkit.model.partition import Partition
from jobkit.model.pause import Scope
from jobkit.model.priority import Priority
from jobkit.model.unique import While
from jobkit.ports.coordinator import LeaseRef


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened at a (virtual) time."""

    at: float


@dataclass(frozen=True, slots=True)
class Grant(Event):
    """The coordinator granted a lease, or told again of one that it had granted."""

    lease: LeaseRef
    owner: str
    ttl: float
    floor: int


@dataclass(frozen=True, slots=True)
class Renewal(Event):
    """The coordinator extended a lease."""

    lease: LeaseRef
    ttl: float


@dataclass(frozen=True, slots=True)
class Release(Event):
    """The coordinator freed a resource for the one that asked."""

    lease: LeaseRef


@dataclass(frozen=True, slots=True)
class Forgot(Event):
    """The coordinator lost all its data."""


@dataclass(frozen=True, slots=True)
class Cancelled(Event):
    """A person was told that a job is cancelled."""

    job: str


@dataclass(frozen=True, slots=True)
class Claimed(Event):
    """A job of a type asked for a unique name.

    It was not accepted where another one was `kept`; else it holds the name now, as the one that it `replaced` did.
    """

    job: str
    name: tuple[str, str]
    while_: While
    kept: str | None
    replaced: str | None


@dataclass(frozen=True, slots=True)
class Paused(Event):
    """A person was told that something is paused."""

    scope: Scope


@dataclass(frozen=True, slots=True)
class Resumed(Event):
    """A person is about to resume it."""

    scope: Scope


@dataclass(frozen=True, slots=True)
class Repartitioned(Event):
    """A person was told that a type is to have another number of partitions."""

    type: str
    partitions: int


@dataclass(frozen=True, slots=True)
class Reprioritized(Event):
    """A person was told that a job has another priority now."""

    job: str
    priority: Priority


@dataclass(frozen=True, slots=True)
class Begun(Event):
    """The store opened a job that came with a message of this priority."""

    job: str
    priority: Priority


@dataclass(frozen=True, slots=True)
class Stray(Event):
    """A job that had ended, or that the store did not know, was in `place` all the same."""

    job: str
    place: str


@dataclass(frozen=True, slots=True)
class LeftOpen(Event):
    """All members of a group had ended, and the job that closes it was still waiting for them."""

    then: str


@dataclass(frozen=True, slots=True)
class Unfair(Event):
    """More of a tenant's jobs of one priority were on their way than it has places, or some waited for none."""

    tenant: str
    placed: int
    waiting: int


@dataclass(frozen=True, slots=True)
class Mark(Event):
    """The store made a fence the mark of a key, or found it to be that; `began` is the job that was opened under it."""

    resource: str
    fence: Fence
    began: str | None = None


@dataclass(frozen=True, slots=True)
class Write(Event):
    """The store accepted a write; `action` is its method. `again`: it had accepted it before."""

    action: str
    resource: str
    job: str
    fence: Fence
    again: bool


@dataclass(frozen=True, slots=True)
class Saved(Event):
    """The store kept what a job has come to."""

    job: str
    step: str
    version: int
    value: bytes
    fence: Fence


@dataclass(frozen=True, slots=True)
class Recalled(Event):
    """A processor was given what is kept, or what it has just come to."""

    job: str
    step: str
    value: bytes | None
    fence: Fence


@dataclass(frozen=True, slots=True)
class RanStep(Event):
    """A processor began a step."""

    job: str
    step: str
    fence: Fence


@dataclass(frozen=True, slots=True)
class Trimmed(Event):
    """The store dropped the first entries that it had of a key's log."""

    resource: str
    entries: int


@dataclass(frozen=True, slots=True)
class Unrebuilt(Event):
    """Somebody wanted a projection rebuilt, and it could not be."""

    resource: str
    projection: str
    problem: str


@dataclass(frozen=True, slots=True)
class Postponed(Event):
    """The store noted that a job's attempt had failed, and that the next is not to begin before `until`."""

    job: str
    attempt: int
    until: float


@dataclass(frozen=True, slots=True)
class Attempted(Event):
    """A node sent a write, or the request to open; it is what it knew then that counts."""

    node: str
    action: str
    resource: str
    job: str
    fence: Fence


@dataclass(frozen=True, slots=True)
class Consuming(Event):
    """A node asked for the consumer of a partition. `resumed`: at the very moment it went on after a pause."""

    node: str
    partition: Partition
    owner: str
    resumed: bool


@dataclass(frozen=True, slots=True)
class Step(Event):
    """A processor did something. `resumed`: at the very moment its node went on after a pause."""

    node: str
    resource: str
    job: str
    attempt: int
    fence: Fence
    resumed: bool


@dataclass(frozen=True, slots=True)
class Trouble(Event):
    """Something that the schedule did to a node or a plane."""

    node: str
    what: str


@dataclass(frozen=True, slots=True)
class Said(Event):
    """A log line of a node."""

    node: str
    level: str
    event: str
    fields: str
