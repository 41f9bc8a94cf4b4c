"""What happened in a simulation, in the order it happened, as the planes and the processors saw it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from jobkit.model.fence import Fence, Receipt
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
from simulation.events import (
    Attempted,
    Begun,
    Claimed,
    Consuming,
    Event,
    Grant,
    Mark,
    Postponed,
    Release,
    Renewal,
    Said,
    Saved,
    Trimmed,
    Write,
)
from simulation.network import Call

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
        """Return whether a node has gone on after a pause in this very instant."""
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
            case "inspection", "trim_log", int(dropped) if dropped:
                yield Trimmed(now, f"{given['type']}/{given['key']}", dropped)
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
    """Return whether a write's answer means that something was written."""
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
