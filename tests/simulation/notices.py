"""Jobs of a simulation that tell of the ends of others, and what must hold of them: one for each end, none without."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Literal

from jobkit import Context, Notification, Payload, Processor, processor
from jobkit.model.notice import ENDS, EndState
from jobkit.plugin.job_info import JobInfo
from jobkit.plugin.notification import JobEnd
from jobkit.ports.inspection import JobState
from simulation.events import Begun, Event, Write
from simulation.expectation import Expectation, Truth, Violation
from simulation.work import Order, Work

NOTICE = "notice"
# What it enters into its key's log: whom it tells of, who wants it told, and how that one ended.
_TOLD = "told"


class Told(Payload):
    """What a job's processor says of its commit, or what its submitter asked to be told: that says how it `ended`."""

    of: str
    by: Literal["processor", "submitter"]
    ended: JobEnd | None = None


@processor(NOTICE, key=lambda told: told.of)
async def _tell(told: Told, ctx: Context) -> None:
    ctx.append(_TOLD, {"by": told.by, "of": told.of, "state": told.ended.state if told.ended else "committed"})


NOTICES: Processor[Any, Any] = _tell


def told_by_processor(job: Work, _: object, info: JobInfo) -> Notification | None:
    """Return what a processor says of the commit of a job with an odd number."""
    return Notification(NOTICE, Told(of=info.id, by="processor")) if job.number % 2 else None


def told_to_submitter(order: Order) -> Sequence[Notification]:
    """Return what the submitter of an order wants to be told."""
    return [Notification(NOTICE, Told(of=order.id, by="submitter"), on=order.notify)] if order.notify else []


def with_notices(orders: Sequence[Order], seed: int) -> list[Order]:
    """Return orders of most of which somebody is told; some have to begin soon."""
    rng = random.Random(f"notices {seed}")
    drawn = []
    for order in orders:
        on = tuple(end for end in ENDS if rng.random() < 0.7) if rng.random() < 0.8 else ()
        # Of who holds a unique name the checker hears only as jobs begin, commit, die or are cancelled.
        expires = order.later + rng.uniform(0.2, 6.0) if rng.random() < 0.3 and order.unique is None else 0.0
        drawn.append(order if order.foreign else replace(order, notify=on, expires=expires))
    return drawn


def told_once(events: Sequence[Event], truth: Truth, expected: Expectation) -> Iterator[Violation]:
    """Of each end that somebody wants to hear of one notice took effect, and of nothing else did one."""
    if not expected.notifying:
        return
    entries = [entry for log in truth.logs.values() for entry in log]
    told = Counter(_read(entry.data) for entry in entries if entry.kind == _TOLD)
    ended: set[tuple[str, EndState]] = {(entry.job_id, "committed") for entry in entries if entry.kind != _TOLD}
    ended |= {(event.job, "dead") for event in events if isinstance(event, Write) and event.action == "bury"}
    ended |= {(id, "cancelled") for id in expected.cancelled} | {(id, "expired") for id in expected.expired}
    wanted: set[tuple[str, str, str]] = {
        ("submitter", id, state) for id, state in ended if state in expected.notify.get(id, ())
    }
    wanted |= {
        ("processor", entry.job_id, "committed")
        for entry in entries
        if entry.kind != _TOLD and json.loads(entry.data)["number"] % 2
    }
    for by, id, state in sorted(wanted - told.keys()):
        yield Violation("notices", f"{by}'s notice that {id} is {state} is missing")
    for by, id, state in sorted(told.keys() - wanted):
        yield Violation("notices", f"{by}'s notice says that {id} is {state}, which it is not")
    for (by, id, state), times in told.items():
        if times > 1:
            yield Violation("notices", f"{by}'s notice that {id} is {state} took effect {times} times")


def never_began(events: Sequence[Event], truth: Truth, expected: Expectation) -> Iterator[Violation]:
    """What expired had not begun by then, and is known as expired."""
    begun = {event.job for event in events if isinstance(event, Begun)}
    for id in expected.expired:
        job = truth.jobs[id]
        if id in begun or job is None or job.state is not JobState.EXPIRED:
            yield Violation("expired", f"job {id} expired, and began: {job}")


def _read(data: bytes) -> tuple[str, str, str]:
    told = json.loads(data)
    return told["by"], told["of"], told["state"]
