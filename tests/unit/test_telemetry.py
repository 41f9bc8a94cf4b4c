"""loud: each of these events is a metric and a log line, never one without the other."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from jobkit.telemetry import Telemetry
from tests.witness import Witness

LOUD: dict[str, tuple[Callable[[Telemetry], None], str, dict[str, str], str]] = {
    "a lost lease": (
        lambda telemetry: telemetry.lease_lost("t/k", 7, "gone"),
        "jobkit.leases.lost",
        {"kind": "job"},
        "warning",
    ),
    "a lost leadership": (
        lambda telemetry: telemetry.lease_lost("leader/t/0", 7, "gone"),
        "jobkit.leases.lost",
        {"kind": "leader"},
        "warning",
    ),
    "a lock timeout": (
        lambda telemetry: telemetry.claim_timed_out("t/k", "somebody", 60.0),
        "jobkit.claims",
        {"outcome": "timeout"},
        "warning",
    ),
    "a failed renewal": (
        lambda telemetry: telemetry.renewal_failed(3, TimeoutError("slow")),
        "jobkit.renewals.failed",
        {},
        "warning",
    ),
    "a lost connection": (
        lambda telemetry: telemetry.connection_lost("store", "committing", OSError("gone")),
        "jobkit.connections.lost",
        {"plane": "store"},
        "warning",
    ),
    "a held gap": (
        lambda telemetry: telemetry.gap("t", "k", 3, 1, "held"),
        "jobkit.gaps",
        {"type": "t", "event": "held"},
        "info",
    ),
    "a parked gap": (
        lambda telemetry: telemetry.gap("t", "k", 3, 1, "parked"),
        "jobkit.gaps",
        {"type": "t", "event": "parked"},
        "warning",
    ),
    "a stale write": (
        lambda telemetry: telemetry.stale_write("commit", "x", "t/k", 1, 2),
        "jobkit.stale_writes",
        {"doing": "commit"},
        "error",
    ),
    "a stale token": (
        lambda telemetry: telemetry.token_outbid("t/k", 1, 2),
        "jobkit.stale_writes",
        {"doing": "open"},
        "warning",
    ),
    "a duplicate": (
        lambda telemetry: telemetry.duplicate("t", "x"),
        "jobkit.duplicates",
        {"type": "t"},
        "info",
    ),
    "a conflict": (
        lambda telemetry: telemetry.conflict("t", "x"),
        "jobkit.conflicts",
        {"type": "t"},
        "error",
    ),
    "a failed attempt": (
        lambda telemetry: telemetry.attempt_failed("t", "x", 1, ValueError("no"), 2.0),
        "jobkit.attempts.failed",
        {"type": "t"},
        "warning",
    ),
    "a failed last attempt": (
        lambda telemetry: telemetry.attempt_failed("t", "x", 5, ValueError("no"), None),
        "jobkit.attempts.failed",
        {"type": "t"},
        "error",
    ),
    "a dead letter": (
        lambda telemetry: telemetry.dead_lettered("t", "x", "no"),
        "jobkit.jobs",
        {"type": "t", "outcome": "dead"},
        "error",
    ),
    "a blocked event loop": (
        lambda telemetry: telemetry.loop_blocked(9.0, "stack"),
        "jobkit.loop.blocked",
        {},
        "error",
    ),
    "a defect": (
        lambda telemetry: telemetry.crashed("working", KeyError("x")),
        "jobkit.connections.lost",
        {"plane": "none"},
        "error",
    ),
}


@pytest.mark.parametrize(("tell", "metric", "attributes", "level"), LOUD.values(), ids=LOUD.keys())
def test_a_loud_event_is_a_metric_and_a_log_line(
    tell: Callable[[Telemetry], None], metric: str, attributes: dict[str, str], level: str
) -> None:
    witness = Witness()
    tell(witness.telemetry)
    assert witness.count(metric, attributes) == 1
    assert [line["log_level"] for line in witness.log] == [level]


def test_no_loud_event_is_missing_here() -> None:
    quiet = {"committed", "claimed", "elected", "handed_over", "drain_started"}
    methods = {name for name in vars(Telemetry) if not name.startswith("_")} - quiet
    covered = set()
    for tell, *_ in LOUD.values():
        covered |= set(tell.__code__.co_names) & methods
    assert covered == methods


def test_a_commit_is_counted_with_its_duration() -> None:
    witness = Witness()
    witness.telemetry.committed("t", 2.5)
    assert witness.count("jobkit.jobs", {"type": "t", "outcome": "committed"}) == 1
    (point,) = witness.points("jobkit.job.duration")
    assert (point.count, point.sum) == (1, 2.5)


def test_a_leadership_is_counted_for_the_alert_on_elections() -> None:
    witness = Witness()
    witness.telemetry.elected("t/0", "t", 5)
    assert witness.count("jobkit.elections", {"type": "t"}) == 1
    witness.telemetry.handed_over("t/0", "another worker's share")
    assert [line["event"] for line in witness.log] == ["leadership taken", "leadership released"]


def test_without_any_provider_nothing_fails() -> None:
    telemetry = Telemetry()
    telemetry.committed("t", 1.0)
    with telemetry.tracer.start_as_current_span("x"):
        telemetry.claimed("granted")
