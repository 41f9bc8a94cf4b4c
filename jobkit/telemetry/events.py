"""Every event that jobkit reports is one method here, which counts it and, where it is loud, logs it.

Metrics and spans go through the OpenTelemetry API to whatever provider the process has; none is needed.
Logs go through structlog. The invariant *loud* (DESIGN: each lost lease, failed renewal, lost connection,
gap, stale write, duplicate and conflict is a metric and a log line) holds because the two are never apart.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import structlog
from opentelemetry import metrics, trace
from opentelemetry.metrics import MeterProvider
from opentelemetry.trace import Span, Tracer, TracerProvider
from structlog.typing import FilteringBoundLogger

from jobkit.model.invariant import Invariant
from jobkit.model.pause import Pause
from jobkit.model.plane import Plane
from jobkit.model.safe_text import error_text
from jobkit.telemetry import metrics as m
from jobkit.telemetry.spans import UNRECORDED, recorded_by, stage

_SCOPE = "jobkit"
# So many of the latest cases of split brain can be read as a gauge, with names; all of them are in the log.
_CASES_SHOWN = 20
# So many jobs are named in a line of the log.
_LOST_NAMED = 10


class Telemetry:
    """The meters, tracer and log of one process."""

    def __init__(
        self, *, meters: MeterProvider | None = None, tracers: TracerProvider | None = None, log: Any = None
    ) -> None:
        meter = (meters or metrics.get_meter_provider()).get_meter(_SCOPE)
        provider = tracers or trace.get_tracer_provider()
        self.tracer: Tracer = provider.get_tracer(_SCOPE)
        # Whether spans are kept by anybody; where not, only those are made whose ids are of use.
        self.traced = recorded_by(provider)
        self.log: FilteringBoundLogger = log if log is not None else structlog.get_logger(_SCOPE)
        self._counters = {metric: m.Counter(metric, meter) for metric in m.CATALOGUE if metric.kind is m.Kind.COUNTER}
        self._histograms = {
            metric: meter.create_histogram(
                metric.name, metric.unit, metric.description, explicit_bucket_boundaries_advisory=m.BUCKETS
            )
            for metric in m.CATALOGUE
            if metric.kind is m.Kind.HISTOGRAM
        }
        self.gauges = m.Gauges([metric for metric in m.CATALOGUE if metric.kind is m.Kind.GAUGE], meter)
        self._cases: deque[tuple[tuple[str, ...], float]] = deque(maxlen=_CASES_SHOWN)

    def serves(self, types: Iterable[str]) -> None:
        """Start the counters of these job types at 0."""
        for counter in self._counters.values():
            counter.begin(types)

    def stage(self, name: str, **attributes: str | int) -> AbstractContextManager[Span | None]:
        """Return a span for one stage of a job, or nothing where the job's own span is not recorded."""
        return stage(self.tracer, name, attributes) if self.traced else UNRECORDED

    def _count(self, metric: m.Metric, *values: str, by: int = 1) -> None:
        self._counters[metric].add(*values, by=by)

    def _record(self, metric: m.Metric, seconds: float, attributes: Mapping[str, str]) -> None:
        self._histograms[metric].record(max(seconds, 0.0), {**metric.always, **attributes})

    # ---- ordinary ----------------------------------------------------------------------------------------------

    def committed(self, type: str, job_id: str, key: str, seconds: float, lag: float | None = None) -> None:
        """Report a job whose last attempt took `seconds`, its commit included, `lag` seconds after its submission."""
        self._count(m.JOBS, type, "committed")
        self._record(m.PROCESS_DURATION, seconds, {"messaging.destination.name": type})
        if lag is not None:
            self._record(m.LAG, lag, {"type": type})
        self.log.info("job committed", job=job_id, type=type, key=key, seconds=round(seconds, 3))

    def received(self, type: str, messages: int) -> None:
        """Count messages that came from the broker."""
        self._count(m.CONSUMED, type, by=messages)

    def published(self, messages: Mapping[str, int], seconds: float, error: str = "") -> None:
        """Count messages of a batch handed to the broker, by job type; `error` says why they are not confirmed."""
        for type, number in messages.items():
            self._count(m.SENT, type, error, by=number)
        for type in messages:
            failed = {"error.type": error} if error else {}
            self._record(m.OPERATION_DURATION, seconds, {"messaging.destination.name": type, **failed})

    def publishing_resumed(self, partition: str) -> None:
        """Log that the broker takes a partition's messages again."""
        self.log.info("partition is published to again", partition=partition)

    def accepted_again(self, plane: Plane) -> None:
        """Log that a backend which refused this worker no longer does."""
        self.log.info("backend accepts this worker again", plane=plane)

    def claimed(self, outcome: str) -> None:
        """Count a claim: granted, held, limited, late or unanswered."""
        self._count(m.CLAIMS, outcome)

    def elected(self, partition: str, type: str, token: int) -> None:
        """Count a leadership taken."""
        self._count(m.ELECTIONS, type)
        self.log.info("leadership taken", partition=partition, token=token)

    def snoozed(self, type: str, job_id: str, seconds: float) -> None:
        """Log that a processor put its job off; it counts for nothing."""
        self.log.info("job put off", job=job_id, type=type, seconds=round(seconds, 3))

    def handed_over(self, partition: str, reason: str) -> None:
        """Log a leadership given up on purpose."""
        self.log.info("leadership released", partition=partition, reason=reason)

    def drain_started(self, seconds: float) -> None:
        """Log that the process stops taking jobs."""
        self.log.info("draining: running jobs may finish, a second signal stops at once", seconds=seconds)

    # ---- loud --------------------------------------------------------------------------------------------------

    def lease_lost(self, resource: str, token: int, reason: str) -> None:
        """Report a lease that ended while work ran under it."""
        self._count(m.LEASES_LOST, "leader" if resource.startswith("leader/") else "job")
        self.log.warning("lease lost", resource=resource, token=token, reason=reason)

    def claim_timed_out(self, resource: str, holder: str, seconds: float) -> None:
        """Report that a claim timed out because another worker holds the lease."""
        self._count(m.CLAIMS, "timeout")
        self.log.warning("lease still held by another worker", resource=resource, holder=holder, waited=seconds)

    def renewal_failed(self, leases: int, error: BaseException) -> None:
        """Report a renewal that the coordinator did not answer; the leases run down."""
        self._count(m.RENEWALS_FAILED)
        self.log.warning("renewal failed", leases=leases, error=str(error))

    def connection_lost(self, plane: Plane, doing: str, error: BaseException) -> None:
        """Report a backend call that failed for now; it will be repeated."""
        self._count(m.CONNECTIONS_LOST, plane)
        self.log.warning("backend unavailable", plane=plane, doing=doing, error=str(error))

    def refused(self, plane: Plane, error: BaseException) -> None:
        """Report a backend that refuses a worker which it had accepted, as a person must mend; told once a minute."""
        self._count(m.REFUSALS, plane)
        self.log.error("backend refuses this worker, which waits: a person must mend it", plane=plane, error=str(error))

    def coordinators_differ(self, others: Sequence[str]) -> None:
        """Report that workers on the same store keep their leases elsewhere; told once a minute."""
        self._count(m.COORDINATORS_DIFFER)
        self.log.error(
            "workers on this store keep their leases at another coordinator: make JOBKIT_COORDINATOR_URL the same",
            others=list(others),
        )

    def paused(self, pause: Pause) -> None:
        """This worker has heard that something is paused; the gauges show how much is."""
        self.log.warning("paused", scope=str(pause.scope), by=pause.by, reason=pause.reason)

    def resumed(self, pause: Pause) -> None:
        """This worker has heard that something goes on which was paused."""
        self.log.info("resumed", scope=str(pause.scope), was_paused_by=pause.by)

    def publishing_held_up(self, partition: str, type: str, kind: str, reason: str) -> None:
        """The broker stopped taking a partition's messages, which wait: `kind` is refused or unconfirmed."""
        self._count(m.HELD_UP, type, kind)
        self.log.warning("partition cannot be published to", partition=partition, kind=kind, error=reason)

    def queue_rebuilt(self, partition: str, type: str) -> None:
        """The queue of a partition that never confirmed was made anew."""
        self._count(m.HELD_UP, type, "rebuilt")
        self.log.warning("queue that confirmed nothing was made anew", partition=partition)

    def partitions_change(self, type: str, partitions: int) -> None:
        """Log that another number of partitions is to be in force, and that this process has heard of it."""
        self.log.info("another number of partitions: jobs are moved to it", type=type, partitions=partitions)

    def partitions_in_force(self, type: str, partitions: int) -> None:
        """Log that a new number of partitions is in force."""
        self.log.info("new number of partitions in force", type=type, partitions=partitions)

    def messages_lost(self, partition: str, type: str, jobs: Sequence[str]) -> None:
        """Report jobs of a partition that had no message any more; they were published again."""
        self._count(m.MESSAGES_LOST, type, by=len(jobs))
        self.log.warning(
            "broker lost messages, their jobs are published again",
            partition=partition,
            jobs=len(jobs),
            first=list(jobs[:_LOST_NAMED]),
        )

    def schedule_fired(self, schedule: str, type: str, ticks: int, late: float) -> None:
        """Report ticks of a schedule whose jobs are accepted; the last of them was `late` by so many seconds."""
        self._count(m.TICKS, type, "fired", by=ticks)
        self._record(m.TICK_LATENESS, late, {"type": type})
        self.log.debug("schedule fired", schedule=schedule, type=type, ticks=ticks, late=round(late, 3))

    def ticks_missed(self, schedule: str, type: str, ticks: int) -> None:
        """Report ticks of a schedule that passed while nobody was there to fire them, and do not fire."""
        self._count(m.TICKS, type, "missed", by=ticks)
        self.log.warning("schedule missed ticks", schedule=schedule, type=type, ticks=ticks)

    def ticks_overlapped(self, schedule: str, type: str, ticks: int) -> None:
        """Report ticks of a schedule that passed because its last job had yet to end."""
        self._count(m.TICKS, type, "overlapped", by=ticks)
        self.log.warning("schedule passed ticks over, its last job has yet to end", schedule=schedule, ticks=ticks)

    def gap(self, type: str, key: str, sequence: int | None, expected: int, event: str) -> None:
        """Report a job that is ahead of its key's sequence: `event` is held or parked."""
        self._count(m.GAPS, type, event)
        say = self.log.warning if event == "parked" else self.log.info
        say(f"gap in sequence, job {event}", type=type, key=key, sequence=sequence, expected=expected)

    def held(self, type: str, job_id: str, kind: str, detail: str) -> None:
        """Report a job of which this worker does not know something (`kind`), and that is held for one that does."""
        self._count(m.HELD, type, kind)
        self.log.warning("job held for a worker that knows it", job=job_id, type=type, unknown=kind, detail=detail)

    def stale_write(self, doing: str, job_id: str, resource: str, token: int, mark: int | None) -> None:
        """Report a write that the store refused, because a newer fence has opened the key."""
        self._count(m.STALE_WRITES, doing)
        self.log.error("stale write refused", doing=doing, job=job_id, resource=resource, token=token, mark=mark)

    def token_outbid(self, resource: str, token: int, mark: int) -> None:
        """Report a stale token: the store has seen a higher one, so the coordinator has lost data."""
        self._count(m.STALE_WRITES, "open")
        self.log.warning("token below the store's mark, claiming again", resource=resource, token=token, mark=mark)

    def split_brain(
        self, kind: str, resource: str, *, worker: str, token: int, other: str, mark: int | None, at: float
    ) -> None:
        """Report two workers on one resource: this one under `token`, and `other`. `at` is Unix time in seconds.

        This is evidence, not damage: the store refused the write under the lower token.
        """
        self._count(m.SPLIT_BRAIN, kind)
        self._cases.append(((kind, worker, other, resource), at))
        # Of equal cases the latest counts.
        self.gauges.show("split brain", {(m.SPLIT_BRAIN_TIME, case): seen for case, seen in self._cases})
        self.log.error(
            "split brain",
            kind=kind,
            effect="refused: nothing wrong was written",
            resource=resource,
            worker=worker,
            token=token,
            other=other,
            mark=mark,
        )

    def violated(self, invariant: Invariant, resource: str, job_id: str, detail: str) -> None:
        """Report an effect that the store must never accept: `invariant` is single-effect, fencing or order."""
        self._count(m.VIOLATIONS, invariant)
        self.log.critical(
            "invariant violated: stop the workers and run `jobkit verify`",
            invariant=invariant,
            resource=resource,
            job=job_id,
            detail=detail,
        )

    def duplicate(self, type: str, job_id: str) -> None:
        """Report a delivery of a job that has already ended; it is acked and nothing runs."""
        self._count(m.DUPLICATES, type)
        self._count(m.JOBS, type, "duplicate")
        self.log.info("duplicate delivery dropped", job=job_id, type=type)

    def cancelled(self, type: str, job_id: str) -> None:
        """Count a job that was cancelled before it could commit; its delivery is acked."""
        self._count(m.JOBS, type, "cancelled")
        self.log.info("job was cancelled", job=job_id, type=type)

    def expired(self, type: str, job_id: str) -> None:
        """Count a job that had not begun in time, and never will."""
        self._count(m.JOBS, type, "expired")
        self.log.info("job expired", job=job_id, type=type)

    def conflict(self, type: str, job_id: str) -> None:
        """Report an id that came with another type, key or payload than before."""
        self._count(m.CONFLICTS, type)
        self.log.error("job id conflict, dead-lettered", job=job_id, type=type)

    def tick_conflict(self, schedule: str, type: str, job_id: str) -> None:
        """Report a tick of a schedule that makes no job, because its job's id is another job's."""
        self._count(m.CONFLICTS, type)
        self.log.error("tick does not fire, its id is another job's", schedule=schedule, job=job_id, type=type)

    def superseded(self, type: str, job_id: str, key: str, sequence: int) -> None:
        """Report a message whose job the store has lost, and whose sequence another job was given since."""
        self._count(m.SUPERSEDED, type)
        self.log.error(
            "the store has lost this job and given its sequence to another, dead-lettered",
            job=job_id,
            type=type,
            key=key,
            sequence=sequence,
        )

    def attempt_failed(
        self,
        type: str,
        job_id: str,
        attempt: int,
        error: BaseException,
        retry_in: float | None,
        seconds: float | None = None,
    ) -> None:
        """Report a failed attempt that took `seconds`; `retry_in` is the wait before the next, None without one."""
        self._count(m.ATTEMPTS_FAILED, type)
        if seconds is not None:
            failed = {"messaging.destination.name": type, "error.type": error.__class__.__name__}
            self._record(m.PROCESS_DURATION, seconds, failed)
        fields = {"job": job_id, "type": type, "attempt": attempt, "error": error_text(error)}
        if retry_in is None:
            self.log.error("attempt failed, no more attempts", **fields)
        else:
            self.log.warning("attempt failed", retry_in=round(retry_in, 3), **fields)

    def interrupted(self, type: str, job_id: str, reason: str) -> None:
        """Report an attempt that ended without an outcome, while its worker lived: it does not count."""
        self._count(m.ATTEMPTS_INTERRUPTED, type)
        self.log.warning("attempt interrupted, it does not count", job=job_id, type=type, reason=reason)

    def dead_lettered(self, type: str, job_id: str | None, reason: str) -> None:
        """Report a job or message that was dead-lettered."""
        self._count(m.JOBS, type, "dead")
        self.log.error("dead-lettered", job=job_id, type=type, reason=reason)

    def loop_blocked(self, seconds: float, stack: str) -> None:
        """Report an event loop blocked so long that leases may expire. Called from the watchdog's thread."""
        self._count(m.LOOP_BLOCKED)
        self.log.error("event loop blocked: a processor must not block it", seconds=round(seconds, 1), stack=stack)

    def resource_unhealthy(self, resource: str, error: BaseException) -> None:
        """Report a resource whose health was found wrong; told once, until it is well again."""
        self.log.error("resource does not work", resource=resource, error=error_text(error))

    def resource_recovered(self, resource: str) -> None:
        """Log that a resource works again."""
        self.log.info("resource works again", resource=resource)

    def resource_not_closed(self, resource: str, error: BaseException) -> None:
        """Report a resource that could not be closed; the others still are."""
        self.log.error("resource did not close", resource=resource, error=error_text(error))

    def hook_failed(self, hook: str, job_id: str, error: BaseException) -> None:
        """Report a hook that raised, took too long, or was left out because too many waited; it is not called again."""
        self._count(m.HOOKS_FAILED)
        self.log.error("hook failed", hook=hook, job=job_id, error=error_text(error))

    def crashed(self, doing: str, error: BaseException) -> None:
        """Report an unforeseen error of jobkit's own; it is contained, and the work is tried again."""
        self._count(m.DEFECTS)
        self.log.error("unexpected error", doing=doing, exc_info=error)
