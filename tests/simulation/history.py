"""What happened in a simulation, in the order it happened, as the planes and the processors saw it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from jobkit.model.fence import Fence, Receipt
from jobkit.model.partition import Partition
from jobkit.model.pause import Scope
from jobkit.model.priority import Priority
from jobkit.model.unique import While
from jobkit.ports.checkpoints import Checkpoint, SaveAnswer
from jobkit.ports.coordinator import Granted, LeaseRef
from jobkit.ports.store import (
    Accepted,
    Committed,
    Conflict,
    Early,
    Gap,
    Kept,
    Known,
    NewJob,
    Opened,
    Skipped,
    Superseded,
)
from jobkit.testing.virtual_time import Process, running_loop
from simulation.network import Call


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


_WRITES = frozenset({"commit", "fail", "bury", "progress", "save_checkpoint"})


@dataclass
class History:
    """The witness of a simulation. `processes` are its nodes' by name."""

    events: list[Event] = field(default_factory=list)
    said: list[Said] = field(default_factory=list)
    processes: dict[str, Process] = field(default_factory=dict)
    closed: bool = False
    _written: set[tuple[str, str, Fence]] = field(default_factory=set)

    def add(self, event: Event) -> None:
        if not self.closed:
            self.events.append(event)

    def say(self, said: Said) -> None:
        if not self.closed:
            self.said.append(said)

    def close(self) -> None:
        """Take no more: what follows is the end of the simulation, not of anything in it."""
        self.closed = True

    def now(self) -> float:
        return running_loop().time()

    def resumed(self, node: str) -> bool:
        """Tell whether a node has gone on after a pause in this very instant."""
        return self.processes[node].thawed_at == self.now()

    def digest(self) -> str:
        """Return a hash of all that happened: the same for two runs of one seed."""
        return hashlib.sha256("\n".join(map(repr, [*self.events, *self.said])).encode()).hexdigest()

    # ---- as the network's witness ------------------------------------------------------------------------------

    def sent(self, call: Call) -> None:
        given = call.arguments
        if call.plane == "store" and call.method in {"open", "commit", "fail", "bury"}:
            envelope = given["envelope"]
            resource = f"{envelope.type}/{envelope.key}"
            self.add(Attempted(call.sent_at, call.node, call.method, resource, envelope.id, given["fence"]))
        elif (call.plane, call.method) == ("broker", "consume"):
            self.add(
                Consuming(call.sent_at, call.node, given["partition"], given["owner"], resumed=self.resumed(call.node))
            )

    def took_effect(self, call: Call, answer: object) -> None:
        for event in self._events_of(call, answer):
            self.add(event)

    def _events_of(self, call: Call, answer: object) -> Iterator[Event]:
        given, now = call.arguments, self.now()
        match call.plane, call.method, answer:
            case "coordinator", "claim", Granted(token):
                lease = LeaseRef(given["resource"], token, given["nonce"])
                yield Grant(now, lease, given["owner"], given["ttl"], given.get("floor", 0))
            case "coordinator", "renew", frozenset() as kept:
                for lease in sorted(kept, key=lambda lease: (lease.resource, lease.token)):
                    yield Renewal(now, lease, given["ttl"])
            case "coordinator", "release", True:
                yield Release(now, given["lease"])
            case "store", "open", Opened() | Early() | Gap() | Skipped() | Superseded() | Conflict():
                began = given["envelope"].id if isinstance(answer, Opened) else None
                yield Mark(now, _resource(given), given["fence"], began)
                if isinstance(answer, Opened):
                    yield Begun(now, given["envelope"].id, given["envelope"].priority)
            case "store", "submit", [*answers]:
                for job, answered in zip(given["jobs"], answers, strict=True):
                    if job.unique is not None and not isinstance(answered, Known | Conflict):
                        yield _claimed(now, job, answered)
            case "store", action, _ if action in _WRITES and _accepted(answer):
                key = (action, given["envelope"].id, given["fence"])
                again = key in self._written and action == "commit"
                self._written.add(key)
                if action == "fail":
                    yield Postponed(now, key[1], given["failure"].attempt + 1, now + given["retry_in"])
                if action == "save_checkpoint":
                    saved: Checkpoint = given["checkpoint"]
                    yield Saved(now, key[1], saved.step, saved.version, saved.value, given["fence"])
                yield Write(now, action, _resource(given), given["envelope"].id, given["fence"], again)


def _claimed(now: float, job: NewJob, answer: Accepted | Kept) -> Claimed:
    kept, replaced = (answer.id, None) if isinstance(answer, Kept) else (None, answer.replaced)
    assert job.unique is not None
    return Claimed(now, job.envelope.id, (job.envelope.type, job.unique.name), job.unique.while_, kept, replaced)


def _resource(given: Any) -> str:
    return f"{given['envelope'].type}/{given['envelope'].key}"


def _accepted(answer: object) -> bool:
    """Tell whether a write's answer means that something was written."""
    match answer:
        case SaveAnswer():
            return answer is SaveAnswer.SAVED
        case bool() | int():
            return answer is not False
        case Committed():
            return True
        case Receipt(kind="dead"):
            return True
    return False


class Journal:
    """A log that keeps what one node says, in place of structlog's."""

    def __init__(self, history: History, node: str) -> None:
        self._history = history
        self._node = node

    def _say(self, level: str, event: str, fields: dict[str, Any]) -> None:
        shown = " ".join(f"{name}={value!r}" for name, value in fields.items())
        self._history.say(Said(self._history.now(), self._node, level, event, shown))

    def debug(self, event: str, **fields: Any) -> None:
        self._say("debug", event, fields)

    def info(self, event: str, **fields: Any) -> None:
        self._say("info", event, fields)

    def warning(self, event: str, **fields: Any) -> None:
        self._say("warning", event, fields)

    def error(self, event: str, **fields: Any) -> None:
        self._say("error", event, fields)


def tell(events: Sequence[Event], limit: int = 60) -> str:
    """Return the last `limit` events as lines for people, without the renewals, which are many and say little."""
    return "\n".join([f"  {event!r}" for event in events if not isinstance(event, Renewal)][-limit:])
