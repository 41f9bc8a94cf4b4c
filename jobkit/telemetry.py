"""What jobkit says of itself: every loud event is one method here, which counts it and logs it.

Metrics and spans go through the OpenTelemetry API to whatever provider the process has; none is needed.
Logs go through structlog. The invariant *loud* (DESIGN: each lost lease, failed renewal, lost connection,
gap, stale write, duplicate and conflict is a metric and a log line) holds because the two are never apart.
"""

from __future__ import annotations

from typing import Any

import structlog
from opentelemetry import metrics, trace
from opentelemetry.metrics import MeterProvider
from opentelemetry.sdk.metrics import MeterProvider as SdkMeterProvider
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider as SdkTracerProvider
from opentelemetry.trace import Tracer, TracerProvider
from structlog.typing import FilteringBoundLogger

_SCOPE = "jobkit"


def record_with_sdk() -> None:
    """Give this process the SDK's providers, unless it has some: what is recorded needs no exporter to be there.

    Spans then have ids, which the log lines carry. The SDK's own `OTEL_…` variables apply.
    """
    resource = Resource.create({"service.name": "jobkit"})
    if not isinstance(trace.get_tracer_provider(), SdkTracerProvider):
        trace.set_tracer_provider(SdkTracerProvider(resource=resource))
    if not isinstance(metrics.get_meter_provider(), SdkMeterProvider):
        metrics.set_meter_provider(SdkMeterProvider(resource=resource))


class Telemetry:
    """The meters, tracer and log of one process."""

    def __init__(
        self, *, meters: MeterProvider | None = None, tracers: TracerProvider | None = None, log: Any = None
    ) -> None:
        meter = (meters or metrics.get_meter_provider()).get_meter(_SCOPE)
        self.tracer: Tracer = (tracers or trace.get_tracer_provider()).get_tracer(_SCOPE)
        self.log: FilteringBoundLogger = log if log is not None else structlog.get_logger(_SCOPE)
        count = meter.create_counter
        self._jobs = count("jobkit.jobs", unit="{job}", description="Jobs that left the way of a job, by outcome")
        self._duration = meter.create_histogram(
            "jobkit.job.duration", unit="s", description="Time from open to commit of committed jobs"
        )
        self._claims = count("jobkit.claims", unit="{claim}", description="Claims of leases, by outcome")
        self._elections = count("jobkit.elections", unit="{election}", description="Leaderships taken")
        self._leases_lost = count("jobkit.leases.lost", unit="{lease}", description="Leases lost while held")
        self._renewals_failed = count("jobkit.renewals.failed", unit="{call}", description="Renewals without an answer")
        self._connections_lost = count("jobkit.connections.lost", unit="{loss}", description="Backends lost, by plane")
        self._gaps = count("jobkit.gaps", unit="{job}", description="Jobs ahead of their sequence, held or parked")
        self._stale_writes = count("jobkit.stale_writes", unit="{write}", description="Writes the store refused")
        self._duplicates = count("jobkit.duplicates", unit="{job}", description="Deliveries of jobs that had ended")
        self._conflicts = count("jobkit.conflicts", unit="{job}", description="Ids seen with another payload")
        self._attempts_failed = count("jobkit.attempts.failed", unit="{attempt}", description="Attempts that failed")
        self._loop_blocked = count("jobkit.loop.blocked", unit="{time}", description="Event loop stalls noticed")

    # ---- ordinary ----------------------------------------------------------------------------------------------

    def committed(self, type: str, seconds: float) -> None:
        """Count a job that committed `seconds` after it was opened."""
        self._jobs.add(1, {"type": type, "outcome": "committed"})
        self._duration.record(seconds, {"type": type})

    def claimed(self, outcome: str) -> None:
        """Count a claim: granted, held, timeout or late."""
        self._claims.add(1, {"outcome": outcome})

    def elected(self, partition: str, type: str, token: int) -> None:
        """Count a leadership taken."""
        self._elections.add(1, {"type": type})
        self.log.info("leadership taken", partition=partition, token=token)

    def handed_over(self, partition: str, reason: str) -> None:
        """Log a leadership given up on purpose."""
        self.log.info("leadership released", partition=partition, reason=reason)

    def drain_started(self, seconds: float) -> None:
        """Log that the process takes no more jobs."""
        self.log.info("draining: running jobs may finish, a second signal stops at once", seconds=seconds)

    # ---- loud --------------------------------------------------------------------------------------------------

    def lease_lost(self, resource: str, token: int, reason: str) -> None:
        """A lease ended under the work it was held for."""
        self._leases_lost.add(1, {"kind": "leader" if resource.startswith("leader/") else "job"})
        self.log.warning("lease lost", resource=resource, token=token, reason=reason)

    def claim_timed_out(self, resource: str, holder: str, seconds: float) -> None:
        """A job waited its whole bound for a lease that somebody else holds."""
        self._claims.add(1, {"outcome": "timeout"})
        self.log.warning("lease still held by another worker", resource=resource, holder=holder, waited=seconds)

    def renewal_failed(self, leases: int, error: BaseException) -> None:
        """The coordinator did not answer a renewal; the leases run down."""
        self._renewals_failed.add(1)
        self.log.warning("renewal failed", leases=leases, error=str(error))

    def connection_lost(self, plane: str, doing: str, error: BaseException) -> None:
        """A backend did not do what it was asked; it will be asked again."""
        self._connections_lost.add(1, {"plane": plane})
        self.log.warning("backend unavailable", plane=plane, doing=doing, error=str(error))

    def gap(self, type: str, key: str, sequence: int | None, expected: int, event: str) -> None:
        """A job is ahead of its key's sequence: `event` is held or parked."""
        self._gaps.add(1, {"type": type, "event": event})
        say = self.log.warning if event == "parked" else self.log.info
        say(f"gap in sequence, job {event}", type=type, key=key, sequence=sequence, expected=expected)

    def stale_write(self, doing: str, job_id: str, resource: str, token: int, mark: int) -> None:
        """The store refused a write, because a newer fence has opened the key."""
        self._stale_writes.add(1, {"doing": doing})
        self.log.error("stale write refused", doing=doing, job=job_id, resource=resource, token=token, mark=mark)

    def token_outbid(self, resource: str, token: int, mark: int) -> None:
        """The coordinator gave a token that the store has already seen passed: it lost its data."""
        self._stale_writes.add(1, {"doing": "open"})
        self.log.warning("token below the store's mark, claiming again", resource=resource, token=token, mark=mark)

    def duplicate(self, type: str, job_id: str) -> None:
        """A delivery of a job that had ended already; it is acked, nothing runs."""
        self._duplicates.add(1, {"type": type})
        self._jobs.add(1, {"type": type, "outcome": "duplicate"})
        self.log.info("duplicate delivery dropped", job=job_id, type=type)

    def conflict(self, type: str, job_id: str) -> None:
        """An id came with another payload than before."""
        self._conflicts.add(1, {"type": type})
        self.log.error("same id, other job: dead-lettered", job=job_id, type=type)

    def attempt_failed(
        self, type: str, job_id: str, attempt: int, error: BaseException, retry_in: float | None
    ) -> None:
        """A processor failed; `retry_in` is the wait before the next attempt, None where there is none."""
        self._attempts_failed.add(1, {"type": type})
        fields = {"job": job_id, "type": type, "attempt": attempt, "error": f"{error.__class__.__name__}: {error}"}
        if retry_in is None:
            self.log.error("attempt failed, no more attempts", **fields)
        else:
            self.log.warning("attempt failed", retry_in=round(retry_in, 3), **fields)

    def dead_lettered(self, type: str, job_id: str | None, reason: str) -> None:
        """A job or message went to the dead letters."""
        self._jobs.add(1, {"type": type, "outcome": "dead"})
        self.log.error("dead-lettered", job=job_id, type=type, reason=reason)

    def loop_blocked(self, seconds: float, stack: str) -> None:
        """The event loop did not turn for so long that leases are in danger. Called from the watchdog's thread."""
        self._loop_blocked.add(1)
        self.log.error("event loop blocked: a processor must not block it", seconds=round(seconds, 1), stack=stack)

    def crashed(self, doing: str, error: BaseException) -> None:
        """Something of our own failed in a way nobody foresaw; it is contained and tried again."""
        self._connections_lost.add(1, {"plane": "none"})
        self.log.error("unexpected error", doing=doing, exc_info=error)
