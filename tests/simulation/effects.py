"""What took effect: each accepted job once, in order, under a fence that rises, and nothing is left behind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise

from jobkit.model.fence import Fence
from jobkit.ports.inspection import JobState
from simulation.events import Event, Mark, Repartitioned, Stray, Write
from simulation.expectation import Expectation, Truth, Violation


def single_effect(truth: Truth, expected: Expectation) -> Iterator[Violation]:
    """Each job id took effect at most once; each accepted job did exactly once or is a dead letter (nothing-lost)."""
    effects = Counter(entry.job_id for log in truth.logs.values() for entry in log)
    for id, times in effects.items():
        if times > 1:
            yield Violation("single-effect", f"job {id} took effect {times} times")
    for id in expected.accepted:
        job = truth.jobs[id]
        state = job.state if job else None
        wanted = expected.wanted(id)
        if job is None and expected.forgetting and effects[id] == (wanted is JobState.COMMITTED):
            continue
        if state is not wanted:
            yield Violation("nothing-lost", f"job {id} is {state or 'unknown'}, should be {wanted}: {job}")
        if effects[id] != (wanted is JobState.COMMITTED) and effects[id] < 2:
            yield Violation("single-effect", f"job {id} is {state} and took effect {effects[id]} times")
    for id in effects.keys() - set(expected.accepted):
        yield Violation("single-effect", f"job {id} took effect and was never accepted")


def fencing(events: Sequence[Event], truth: Truth) -> Iterator[Violation]:
    """Tokens never fall along a key's log; nothing is written under a fence after a newer one was registered."""
    for resource, log in truth.logs.items():
        tokens = [entry.token for entry in log]
        if tokens != sorted(tokens):
            yield Violation("fencing", f"tokens fall along the log of {resource}: {tokens}")
    marks: dict[str, Fence] = {}
    for event in events:
        if isinstance(event, Mark):
            mark = marks.get(event.resource)
            if mark is not None and event.fence.token < mark.token:
                yield Violation("fencing", f"the mark of {event.resource} fell from {mark} to {event.fence}", event.at)
            if mark is not None and event.fence.token == mark.token and event.fence.nonce != mark.nonce:
                yield Violation("fencing", f"{event.resource} was opened under {mark} and {event.fence}", event.at)
            marks[event.resource] = event.fence
        elif isinstance(event, Write) and not event.again:
            mark = marks.get(event.resource)
            if mark is None or (mark.token, mark.nonce) != (event.fence.token, event.fence.nonce):
                detail = f"{event.action} of job {event.job} under {event.fence} was accepted, the mark is {mark}"
                yield Violation("fencing", detail, event.at)


def order(truth: Truth, expected: Expectation) -> Iterator[Violation]:
    """On ordered keys the log holds sequences 1 to n in order; only planned dead letters and cancelled ones miss."""
    for key in truth.keys:
        if key.type not in expected.ordered_types:
            continue
        planned = [truth.jobs[id] for id in sorted(expected.dead)]
        missing = {job.sequence for job in planned if job and (job.type, job.key) == (key.type, key.key)}
        given_up = {**expected.cancelled, **expected.expired}
        missing |= {sequence for id, sequence in given_up.items() if expected.keys[id] == (key.type, key.key)}
        found = [entry.sequence for entry in truth.logs[f"{key.type}/{key.key}"]]
        wanted = [number for number in range(1, key.submitted_sequence + 1) if number not in missing]
        if found != wanted:
            yield Violation("order", f"{key.type}/{key.key} took effect as {found}, should be {wanted}")


def order_of_submission(truth: Truth, submitted: Sequence[str]) -> Iterator[Violation]:
    """Where nothing fails, the jobs of a key take effect as they were submitted, numbered or not."""
    place = {id: number for number, id in enumerate(submitted)}
    for resource, log in truth.logs.items():
        places = [place[entry.job_id] for entry in log if entry.job_id in place]
        for before, after in pairwise(places):
            if after < before:
                detail = f"{submitted[after]} was submitted to {resource} before {submitted[before]}, and ran after it"
                yield Violation("order", detail)


def bounded(truth: Truth, expected: Expectation) -> Iterator[Violation]:
    """Nothing is left behind, and no job was tried more often than its policy allows."""
    left = {"outbox": truth.counts.outbox, "in flight": truth.counts.shelved, "parked": truth.counts.parked}
    for name, count in left.items():
        if count:
            yield Violation("bounded", f"{count} left in the table of what is {name}")
    for depth in truth.depths:
        if depth.ready or depth.delayed:
            yield Violation("bounded", f"messages are left in {depth}")
    for id, kept in truth.kept.items():
        job = truth.jobs[id]
        if kept and job is not None and job.state is not JobState.DEAD:
            yield Violation("bounded", f"of job {id}, which is {job.state}, {kept} is kept")
    for id, job in truth.jobs.items():
        if job is not None and len(job.failures) > expected.max_failures:
            yield Violation("bounded", f"job {id} failed {len(job.failures)} times")


def ended_everywhere(events: Sequence[Event]) -> Iterator[Violation]:
    """A job that has ended is in no table that would bring it to a worker again."""
    for event in events:
        if isinstance(event, Stray):
            yield Violation("ended", f"job {event.job} had ended and was still in {event.place}", event.at)


def repartitioned(events: Sequence[Event], truth: Truth, expected: Expectation) -> Iterator[Violation]:
    """Each type has as many partitions as were asked for last, and just as many queues."""
    wanted = {event.type: event.partitions for event in events if isinstance(event, Repartitioned)}
    queues = Counter(depth.partition.type for depth in truth.depths)
    for type, layout in truth.layouts.items():
        number = wanted.get(type, expected.partitions)
        if not layout.settled or layout.partitions != number:
            yield Violation("partitions", f"{type} is to have {number} partitions: {layout}")
        if queues[type] != number:
            yield Violation("partitions", f"{type} is to have {number} partitions, and has {queues[type]} queues")
