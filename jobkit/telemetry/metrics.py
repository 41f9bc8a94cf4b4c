"""Every metric there is, and the plain numbers behind those that are counted.

A count or a gauge is kept here as a number and read when somebody collects, so that an event costs one addition
whether or not anybody looks. Every combination of known attribute values is there from the start at 0: what `rate()`
and `increase()` say of a counter's first event is then right.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from opentelemetry.metrics import CallbackOptions, Meter, Observation

from jobkit.model.invariant import Invariant
from jobkit.model.plane import Plane


class Kind(StrEnum):
    """What a metric does over time."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


# In place of the values of an attribute: each job type that the process serves, or values nobody can list.
TYPES = ("<type>",)
ANY = ("<any>",)


@dataclass(frozen=True, slots=True, eq=False)
class Metric:
    """One metric: `values` are its attributes and what each can be, `always` what it carries besides."""

    name: str
    kind: Kind
    unit: str
    description: str
    values: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    always: Mapping[str, str] = field(default_factory=dict)

    def combinations(self, types: Iterable[str]) -> Iterator[tuple[str, ...]]:
        """Yield the values of all combinations that are known beforehand, where `types` are served."""
        known = [
            tuple(types) if values is TYPES else () if values is ANY else values for values in self.values.values()
        ]
        return itertools.product(*known)


SYSTEM = "jobkit"
_MESSAGING = {"messaging.system": SYSTEM}
_TYPE = {"type": TYPES}
_DESTINATION = {"messaging.destination.name": TYPES}

JOBS = Metric(
    "jobkit.jobs",
    Kind.COUNTER,
    "{job}",
    "Jobs that left the way of a job, by outcome",
    {"type": TYPES, "outcome": ("committed", "duplicate", "dead", "cancelled", "expired")},
)
ATTEMPTS_FAILED = Metric("jobkit.attempts.failed", Kind.COUNTER, "{attempt}", "Attempts that failed", _TYPE)
ATTEMPTS_INTERRUPTED = Metric(
    "jobkit.attempts.interrupted",
    Kind.COUNTER,
    "{attempt}",
    "Attempts that ended without an outcome for no fault of the job's: a lost lease, a backend away, a drain",
    _TYPE,
)
HELD = Metric(
    "jobkit.jobs.held",
    Kind.COUNTER,
    "{job}",
    "Jobs that were set aside for a worker that knows what this one does not, by what that is",
    {"type": TYPES, "unknown": ("schema", "field", "type", "payload")},
)
CLAIMS = Metric(
    "jobkit.claims",
    Kind.COUNTER,
    "{claim}",
    "Claims of leases by outcome; `held` and `limited` are ordinary waits, the last three are failures",
    {"outcome": ("granted", "held", "limited", "timeout", "late", "unanswered")},
)
ELECTIONS = Metric("jobkit.elections", Kind.COUNTER, "{election}", "Leaderships of partitions taken", _TYPE)
LEASES_LOST = Metric(
    "jobkit.leases.lost", Kind.COUNTER, "{lease}", "Leases lost while held", {"kind": ("job", "leader")}
)
RENEWALS_FAILED = Metric("jobkit.renewals.failed", Kind.COUNTER, "{call}", "Renewals without an answer")
HELD_UP = Metric(
    "jobkit.publishing.held_up",
    Kind.COUNTER,
    "{event}",
    "Partitions that the broker stopped taking messages for, or whose queues were made anew for it",
    {"type": TYPES, "kind": ("refused", "unconfirmed", "rebuilt")},
)
MESSAGES_LOST = Metric(
    "jobkit.messages.lost",
    Kind.COUNTER,
    "{message}",
    "Jobs whose messages the broker lost; they were published again",
    _TYPE,
)
CONNECTIONS_LOST = Metric(
    "jobkit.connections.lost",
    Kind.COUNTER,
    "{loss}",
    "Calls that a backend did not do, by plane",
    {"plane": tuple(Plane)},
)
COORDINATORS_DIFFER = Metric(
    "jobkit.coordinators.differ",
    Kind.COUNTER,
    "{minute}",
    "Minutes in which other workers on the same store kept their leases at another coordinator. Must stay 0",
)
REFUSALS = Metric(
    "jobkit.refusals",
    Kind.COUNTER,
    "{minute}",
    "Minutes in which a backend refused a worker that had started: a login, a certificate, a permission",
    {"plane": tuple(Plane)},
)
TICKS = Metric(
    "jobkit.schedules.ticks",
    Kind.COUNTER,
    "{tick}",
    "Ticks of schedules: fired, missed for want of anybody to fire them, or passed since the last job had yet to end",
    {"type": TYPES, "outcome": ("fired", "missed", "overlapped")},
)
GAPS = Metric(
    "jobkit.gaps",
    Kind.COUNTER,
    "{job}",
    "Jobs that came ahead of their sequence: held back for a while, or parked; none of them was applied",
    {"type": TYPES, "event": ("held", "parked")},
)
DUPLICATES = Metric(
    "jobkit.duplicates", Kind.COUNTER, "{job}", "Deliveries of jobs that had ended; dropped, nothing ran", _TYPE
)
CONFLICTS = Metric("jobkit.conflicts", Kind.COUNTER, "{job}", "Ids seen with another payload", _TYPE)
SUPERSEDED = Metric(
    "jobkit.superseded", Kind.COUNTER, "{job}", "Jobs that the store lost, and whose sequences others were given", _TYPE
)
STALE_WRITES = Metric(
    "jobkit.stale_writes",
    Kind.COUNTER,
    "{write}",
    "Writes and openings that the store refused because of the fence",
    {"doing": ("open", "commit", "fail", "bury", "progress")},
)
SPLIT_BRAIN = Metric(
    "jobkit.split_brain",
    Kind.COUNTER,
    "{case}",
    "Evidence of two workers that acted on one resource; the store refused one of them",
    {"kind": ("stale_write", "overlap", "token_backwards", "token_twice", "two_leaders")},
)
SPLIT_BRAIN_TIME = Metric(
    "jobkit.split_brain.time",
    Kind.GAUGE,
    "s",
    "When the latest cases of split brain were seen (Unix time), with both workers by name",
    {"kind": ANY, "worker": ANY, "other": ANY, "resource": ANY},
)
VIOLATIONS = Metric(
    "jobkit.violations",
    Kind.COUNTER,
    "{violation}",
    "Effects that the store accepted against an invariant: a job twice, a stale token, out of turn. Must stay 0",
    {"invariant": (Invariant.SINGLE_EFFECT, Invariant.FENCING, Invariant.ORDER)},
)
LOOP_BLOCKED = Metric("jobkit.loop.blocked", Kind.COUNTER, "{time}", "Times that the event loop stood still")
HOOKS_FAILED = Metric("jobkit.hooks.failed", Kind.COUNTER, "{event}", "Hooks that raised or were not called")
DEFECTS = Metric("jobkit.defects", Kind.COUNTER, "{error}", "Unexpected errors in jobkit itself")
SENT = Metric(
    "messaging.client.sent.messages",
    Kind.COUNTER,
    "{message}",
    "Messages handed to the broker and confirmed, or not (error.type)",
    {"messaging.destination.name": TYPES, "error.type": ("",)},
    {**_MESSAGING, "messaging.operation.name": "publish"},
)
CONSUMED = Metric(
    "messaging.client.consumed.messages",
    Kind.COUNTER,
    "{message}",
    "Messages that the broker delivered",
    _DESTINATION,
    {**_MESSAGING, "messaging.operation.name": "receive"},
)

OPERATION_DURATION = Metric(
    "messaging.client.operation.duration",
    Kind.HISTOGRAM,
    "s",
    "How long the broker took to confirm a batch",
    {"messaging.destination.name": TYPES},
    {**_MESSAGING, "messaging.operation.name": "publish", "messaging.operation.type": "send"},
)
PROCESS_DURATION = Metric(
    "messaging.process.duration",
    Kind.HISTOGRAM,
    "s",
    "How long an attempt took, its commit included; with `error.type` where it failed",
    {"messaging.destination.name": TYPES},
    {**_MESSAGING, "messaging.operation.name": "process", "messaging.operation.type": "process"},
)
LAG = Metric(
    "jobkit.event.lag",
    Kind.HISTOGRAM,
    "s",
    "From a job's submission to its commit, on the machines' wall clocks",
    _TYPE,
)
TICK_LATENESS = Metric(
    "jobkit.schedules.lateness",
    Kind.HISTOGRAM,
    "s",
    "From when a schedule's tick was due to when its job was accepted, by the store's clock",
    _TYPE,
)

WAITING_AGE = Metric(
    "jobkit.waiting.age",
    Kind.GAUGE,
    "s",
    "How long the oldest job has waited that this worker leads and does not work on",
    _TYPE,
)
OUTBOX_AGE = Metric("jobkit.outbox.age", Kind.GAUGE, "s", "How long the oldest accepted job has been unpublished")
STORE_JOBS = Metric(
    "jobkit.store.jobs",
    Kind.GAUGE,
    "{job}",
    "Jobs that the store knows, by state",
    {"state": ("scheduled", "queued", "running", "parked", "committed", "dead", "cancelled", "expired")},
)
STORE_OUTBOX = Metric("jobkit.store.outbox", Kind.GAUGE, "{job}", "Jobs accepted and not yet published")
STORE_INFLIGHT = Metric("jobkit.store.inflight", Kind.GAUGE, "{job}", "Jobs in the in-flight table")
HELD_WAITING = Metric(
    "jobkit.held", Kind.GAUGE, "{job}", "Jobs that are held and that this worker does not know, 1,000 at most", _TYPE
)
STORE_PARKED = Metric("jobkit.store.parked", Kind.GAUGE, "{job}", "Jobs parked behind a gap")
STORE_DEAD = Metric("jobkit.store.dead_letters", Kind.GAUGE, "{letter}", "Dead letters")
STORE_KEYS = Metric("jobkit.store.keys", Kind.GAUGE, "{key}", "Keys with a fence mark")
QUEUE_DEPTH = Metric(
    "jobkit.queue.depth",
    Kind.GAUGE,
    "{job}",
    "Jobs that wait for a worker or are worked on, so that 0 means that none is needed; `jobkit exporter` measures it",
    _TYPE,
)
QUEUE_RUNNING = Metric(
    "jobkit.queue.running", Kind.GAUGE, "{job}", "Jobs that any worker holds a lease for, by the same", _TYPE
)
QUEUE_AGE = Metric(
    "jobkit.queue.age", Kind.GAUGE, "s", "How long ago the oldest job that waits was submitted, by the same", _TYPE
)
QUEUE_PRIORITIES = Metric(
    "jobkit.queue.priorities",
    Kind.GAUGE,
    "{job}",
    "Of the jobs in the queues of a type with priorities, how many have each; by the same",
    {"type": TYPES, "priority": ("high", "normal", "low")},
)
QUEUE_WAITING_FOR_PLACES = Metric(
    "jobkit.queue.waiting_for_places",
    Kind.GAUGE,
    "{job}",
    "Jobs that wait for a place of their tenant's, 10,000 at most, by the same; more workers would not run them sooner",
    _TYPE,
)
SCHEDULES_OVERDUE = Metric(
    "jobkit.schedules.overdue",
    Kind.GAUGE,
    "s",
    "How long ago the first schedule was due that nobody has fired, by the same",
)
LEASES_HELD = Metric(
    "jobkit.leases.held", Kind.GAUGE, "{lease}", "Leases that this worker holds", {"kind": ("job", "leader")}
)
LIMITS_WAITING = Metric(
    "jobkit.limits.waiting", Kind.GAUGE, "{job}", "Jobs in this worker's hand that wait for a limit", {"limit": ANY}
)
RUNNING = Metric("jobkit.jobs.running", Kind.GAUGE, "{job}", "Jobs that this worker works on", _TYPE)
PARTITIONS = Metric("jobkit.partitions", Kind.GAUGE, "{partition}", "Partitions that the type has", _TYPE)
PARTITIONS_LED = Metric("jobkit.partitions.led", Kind.GAUGE, "{partition}", "Partitions that this worker leads", _TYPE)
PARTITIONS_PAUSED = Metric(
    "jobkit.partitions.paused",
    Kind.GAUGE,
    "{partition}",
    "Partitions that this worker leads and that are paused",
    _TYPE,
)
PAUSES = Metric(
    "jobkit.pauses", Kind.GAUGE, "{pause}", "How much of a type is paused: all of it, partitions, keys", _TYPE
)
PAUSE_AGE = Metric("jobkit.pause.age", Kind.GAUGE, "s", "How long ago the first of these pauses was made", _TYPE)
CONSUMERS = Metric("jobkit.consumers.open", Kind.GAUGE, "{consumer}", "Led partitions with an open consumer", _TYPE)
COORDINATOR_SILENCE = Metric(
    "jobkit.coordinator.silence", Kind.GAUGE, "s", "How long ago the coordinator answered this worker last"
)
RESOURCE_HEALTHY = Metric(
    "jobkit.resource.healthy",
    Kind.GAUGE,
    "1",
    "1 while the health of a resource that this worker opened was found well, 0 while it was not",
    {"resource": ANY},
)
LATENCY = Metric(
    "jobkit.latency",
    Kind.GAUGE,
    "s",
    "What a round trip to the farther of store and coordinator takes this worker: who is far leads fewer partitions",
)

CATALOGUE: tuple[Metric, ...] = tuple(found for found in vars().values() if isinstance(found, Metric))

# The conventions' buckets, and more for jobs that take minutes or hours.
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 30, 60, 300, 1800, 7200)


class Counter:
    """One counted metric. Adding is for the event loop's thread, or for one thread per combination of values."""

    def __init__(self, metric: Metric, meter: Meter) -> None:
        self._metric = metric
        self._counts: dict[tuple[str, ...], int] = dict.fromkeys(metric.combinations(()), 0)
        meter.create_observable_counter(
            metric.name, callbacks=[self._observe], unit=metric.unit, description=metric.description
        )

    def add(self, *values: str, by: int = 1) -> None:
        """Count; `values` are those of the metric's attributes, in their order."""
        self._counts[values] = self._counts.get(values, 0) + by

    def begin(self, types: Iterable[str]) -> None:
        """Start the counts of these job types at 0."""
        for values in self._metric.combinations(types):
            self._counts.setdefault(values, 0)

    def _observe(self, _: CallbackOptions) -> Iterable[Observation]:
        return [_observation(self._metric, values, count) for values, count in list(self._counts.items())]


Readings = Mapping[tuple[Metric, tuple[str, ...]], float]


class Gauges:
    """Gauge values by source, as last shown; nothing is measured unless somebody reads them."""

    def __init__(self, metrics: Iterable[Metric], meter: Meter) -> None:
        # How often any of them was read: who looks can tell from it whether it is worth while.
        self.reads = 0
        self._readings: dict[Hashable, Readings] = {}
        for metric in metrics:
            meter.create_observable_gauge(
                metric.name, callbacks=[self._observer(metric)], unit=metric.unit, description=metric.description
            )

    def show(self, source: Hashable, readings: Readings) -> None:
        """Replace what `source` had found."""
        self._readings[source] = readings

    def hide(self, source: Hashable) -> None:
        """Drop what `source` has shown, so that it is no longer read."""
        self._readings.pop(source, None)

    def _observer(self, metric: Metric) -> Callable[[CallbackOptions], Iterable[Observation]]:
        def observe(_: CallbackOptions) -> Iterable[Observation]:
            # Called from whatever thread exports: readings are never changed, only replaced.
            self.reads += 1
            return [
                _observation(metric, values, value)
                for readings in list(self._readings.values())
                for (found, values), value in readings.items()
                if found is metric
            ]

        return observe


def _observation(metric: Metric, values: tuple[str, ...], value: float) -> Observation:
    attributes = {name: value for name, value in zip(metric.values, values, strict=True) if value}
    return Observation(value, {**metric.always, **attributes})
