"""loud: each of these events is a metric and a log line, never one without the other."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from jobkit.model.plane import Plane
from jobkit.telemetry import Telemetry
from jobkit.telemetry.metrics import CATALOGUE, TYPES, WAITING_AGE, Kind
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
    "split brain": (
        lambda telemetry: telemetry.split_brain(
            "stale_write", "t/k", worker="a", token=1, other="b", mark=2, at=1_000.0
        ),
        "jobkit.split_brain",
        {"kind": "stale_write"},
        "error",
    ),
    "a broken invariant": (
        lambda telemetry: telemetry.violated("order", "t/k", "x", "2 after 3"),
        "jobkit.violations",
        {"invariant": "order"},
        "critical",
    ),
    "a duplicate": (
        lambda telemetry: telemetry.duplicate("t", "x"),
        "jobkit.duplicates",
        {"type": "t"},
        "info",
    ),
    "a cancelled job": (
        lambda telemetry: telemetry.cancelled("t", "x"),
        "jobkit.jobs",
        {"type": "t", "outcome": "cancelled"},
        "info",
    ),
    "an expired job": (
        lambda telemetry: telemetry.expired("t", "x"),
        "jobkit.jobs",
        {"type": "t", "outcome": "expired"},
        "info",
    ),
    "a conflict": (
        lambda telemetry: telemetry.conflict("t", "x"),
        "jobkit.conflicts",
        {"type": "t"},
        "error",
    ),
    "a superseded job": (
        lambda telemetry: telemetry.superseded("t", "x", "k", 3),
        "jobkit.superseded",
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
    "a backend that refuses": (
        lambda telemetry: telemetry.refused(Plane.STORE, ValueError("login")),
        "jobkit.refusals",
        {"plane": "store"},
        "error",
    ),
    "another coordinator": (
        lambda telemetry: telemetry.coordinators_differ(["x"]),
        "jobkit.coordinators.differ",
        {},
        "error",
    ),
    "an interrupted attempt": (
        lambda telemetry: telemetry.interrupted("t", "x", "lease lost"),
        "jobkit.attempts.interrupted",
        {"type": "t"},
        "warning",
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
    "a partition that is not taken": (
        lambda telemetry: telemetry.publishing_held_up("t/0", "t", "unconfirmed", "no confirm"),
        "jobkit.publishing.held_up",
        {"type": "t", "kind": "unconfirmed"},
        "warning",
    ),
    "a tick whose id is taken": (
        lambda telemetry: telemetry.tick_conflict("s", "t", "s@1"),
        "jobkit.conflicts",
        {"type": "t"},
        "error",
    ),
    "ticks that nobody fired": (
        lambda telemetry: telemetry.ticks_missed("s", "t", 1),
        "jobkit.schedules.ticks",
        {"type": "t", "outcome": "missed"},
        "warning",
    ),
    "ticks that would have overlapped": (
        lambda telemetry: telemetry.ticks_overlapped("s", "t", 1),
        "jobkit.schedules.ticks",
        {"type": "t", "outcome": "overlapped"},
        "warning",
    ),
    "messages that were lost": (
        lambda telemetry: telemetry.messages_lost("t/0", "t", ["x"]),
        "jobkit.messages.lost",
        {"type": "t"},
        "warning",
    ),
    "a queue made anew": (
        lambda telemetry: telemetry.queue_rebuilt("t/0", "t"),
        "jobkit.publishing.held_up",
        {"type": "t", "kind": "rebuilt"},
        "warning",
    ),
    "a job held": (
        lambda telemetry: telemetry.held("t", "j", "schema", "newer"),
        "jobkit.jobs.held",
        {"type": "t", "unknown": "schema"},
        "warning",
    ),
    "a failed hook": (
        lambda telemetry: telemetry.hook_failed("page", "x", ValueError("no")),
        "jobkit.hooks.failed",
        {},
        "error",
    ),
    "a defect": (
        lambda telemetry: telemetry.crashed("working", KeyError("x")),
        "jobkit.defects",
        {},
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
    quiet = {"committed", "claimed", "elected", "handed_over", "drain_started", "received", "published"}
    quiet |= {"serves", "stage", "publishing_resumed", "accepted_again", "snoozed", "paused", "resumed"}
    quiet |= {"partitions_change", "partitions_in_force", "schedule_fired"}
    # A gauge tells of these.
    quiet |= {"resource_unhealthy", "resource_recovered", "resource_not_closed"}
    methods = {name for name in vars(Telemetry) if not name.startswith("_")} - quiet
    covered = set()
    for tell, *_ in LOUD.values():
        covered |= set(tell.__code__.co_names) & methods
    assert covered == methods


def test_a_commit_is_counted_with_its_duration() -> None:
    witness = Witness()
    witness.telemetry.committed("t", "a", "k", 2.5, 4.0)
    assert witness.count("jobkit.jobs", {"type": "t", "outcome": "committed"}) == 1
    (took,) = witness.points("messaging.process.duration")
    assert (took.count, took.sum) == (1, 2.5)
    (lag,) = witness.points("jobkit.event.lag")
    assert (lag.count, lag.sum) == (1, 4.0)
    (line,) = witness.log
    assert (line["event"], line["log_level"]) == ("job committed", "info")
    assert (line["job"], line["type"], line["key"], line["seconds"]) == ("a", "t", "k", 2.5)


def test_a_failed_attempt_is_measured_with_its_error() -> None:
    witness = Witness()
    witness.telemetry.attempt_failed("t", "x", 1, ValueError("no"), None, 3.0)
    (took,) = witness.points("messaging.process.duration")
    assert took.attributes["error.type"] == "ValueError"
    assert took.sum == 3.0


def test_a_batch_is_counted_with_its_error_where_it_has_one() -> None:
    witness = Witness()
    witness.telemetry.published({"t": 2, "u": 1}, 0.5)
    witness.telemetry.published({"t": 4}, 0.5, "InDoubt")
    (arrived,) = [
        point
        for point in witness.points("messaging.client.sent.messages")
        if point.attributes["messaging.destination.name"] == "t" and "error.type" not in point.attributes
    ]
    assert arrived.value == 2
    assert witness.count("messaging.client.sent.messages", {"error.type": "InDoubt"}) == 4
    assert witness.count("messaging.client.operation.duration") == 3


def test_every_count_is_there_before_it_happens() -> None:
    """Else the first event after a start would be lost to `increase()`."""
    witness = Witness()
    # What is told apart by job type is there once it is known which are served; the rest from the first moment.
    assert witness.points("jobkit.claims")
    assert not witness.points("jobkit.elections")
    witness.telemetry.serves(["t"])
    for metric in CATALOGUE:
        if metric.kind is Kind.COUNTER:
            points = witness.points(metric.name)
            assert points, metric.name
            assert {point.value for point in points} == {0}
            for attribute, values in metric.values.items():
                seen = {point.attributes.get(attribute, "") for point in points}
                assert seen == ({"t"} if values is TYPES else set(values)), metric.name


def test_split_brain_is_shown_with_both_names_and_bounded() -> None:
    witness = Witness()
    for number in range(50):
        witness.telemetry.split_brain("overlap", f"t/{number}", worker="a", token=1, other="b", mark=2, at=number)
    points = witness.points("jobkit.split_brain.time")
    assert len(points) == 20
    assert max(point.value for point in points) == 49
    assert points[0].attributes["worker"] == "a"
    assert points[0].attributes["other"] == "b"


def test_a_gauge_shows_what_was_found_last_until_it_is_hidden() -> None:
    witness = Witness()
    gauges = witness.telemetry.gauges
    assert gauges.reads == 0
    gauges.show("me", {(WAITING_AGE, ("t",)): 3.0})
    gauges.show("me", {(WAITING_AGE, ("t",)): 4.0})
    (point,) = witness.points("jobkit.waiting.age")
    assert (point.value, dict(point.attributes)) == (4.0, {"type": "t"})
    assert gauges.reads > 0
    gauges.hide("me")
    assert witness.points("jobkit.waiting.age") == []


def test_a_leadership_is_counted_for_the_alert_on_elections() -> None:
    witness = Witness()
    witness.telemetry.elected("t/0", "t", 5)
    assert witness.count("jobkit.elections", {"type": "t"}) == 1
    witness.telemetry.handed_over("t/0", "another worker's share")
    assert [line["event"] for line in witness.log] == ["leadership taken", "leadership released"]


def test_without_any_provider_nothing_fails() -> None:
    telemetry = Telemetry()
    telemetry.committed("t", "a", "k", 1.0)
    with telemetry.tracer.start_as_current_span("x"):
        telemetry.claimed("granted")
