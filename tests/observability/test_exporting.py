"""Exporters by OpenTelemetry's own variables: what is named is used, what is left is delivered, and the end is bounded.

Providers can be set once in a process, so each of these is a process of its own.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import anyio
import pytest

from jobkit.ports.inspection import JobState
from jobkit.telemetry.exporting import LAST_WORDS_SECONDS, MetricsPage
from tests.acceptance.plugin import Step
from tests.acceptance.site import open_site
from tests.observability.collector import collecting, silence

_PROGRAM = """
from jobkit.errors import ConfigurationError
from jobkit.telemetry import Telemetry
from jobkit.telemetry.exporting import MetricsPage, exporting
try:
    with exporting(instance="me", page=MetricsPage()):
        telemetry = Telemetry()
        with telemetry.tracer.start_as_current_span("last words"):
            telemetry.committed("t", "a", "k", 1.0)
        print("traced" if telemetry.traced else "untraced")
except ConfigurationError as error:
    print("wrong:", error)
"""


def _run(**variables: str) -> tuple[str, str, float]:
    """What the program printed and logged, and how many seconds it took from the start of the interpreter."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM],
        env={**clean, **variables},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stdout + done.stderr, time.monotonic() - started


@pytest.mark.parametrize("named", ["", "none"])
def test_without_an_exporter_no_span_is_recorded(named: str) -> None:
    out, _, _ = _run(OTEL_TRACES_EXPORTER=named, OTEL_METRICS_EXPORTER=named)
    assert out.splitlines()[-1] == "untraced"


def test_the_console_exporter_needs_nothing_more() -> None:
    out, _, _ = _run(OTEL_TRACES_EXPORTER="console")
    assert '"name": "last words"' in out
    assert '"service.instance.id": "me"' in out
    assert "traced" in out


def test_what_is_named_is_delivered_at_the_end_with_both_signals() -> None:
    with collecting() as collector:
        _run(
            OTEL_TRACES_EXPORTER="otlp",
            OTEL_METRICS_EXPORTER="otlp",
            OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf",
            OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint,
            OTEL_RESOURCE_ATTRIBUTES="deployment.environment=test",
        )
    assert collector.spans == ["last words"]
    assert {"jobkit.jobs", "messaging.process.duration"} <= collector.metrics
    assert collector.resource["service.name"] == "jobkit"
    assert collector.resource["service.instance.id"] == "me"
    assert collector.resource["deployment.environment"] == "test"


def test_a_collector_that_never_answers_holds_up_the_end_for_a_bounded_time() -> None:
    with silence() as endpoint:
        started = _run()[2]
        _, said, took = _run(
            OTEL_TRACES_EXPORTER="otlp",
            OTEL_METRICS_EXPORTER="otlp",
            OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf",
            OTEL_EXPORTER_OTLP_ENDPOINT=endpoint,
            OTEL_EXPORTER_OTLP_TIMEOUT="60",
        )
    assert "the last spans and metrics were not delivered" in said
    # Far from the minute that the exporter would wait; the interpreter itself can be slow to start.
    assert took - started < LAST_WORDS_SECONDS + 20


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        (
            {"OTEL_TRACES_EXPORTER": "zipkinn"},
            "wrong: OTEL_TRACES_EXPORTER=zipkinn: no exporter of that name is installed; there are console",
        ),
        (
            {"OTEL_METRICS_EXPORTER": "otlp_proto_carrier_pigeon"},
            "wrong: OTEL_METRICS_EXPORTER=otlp_proto_carrier_pigeon: no exporter of that name is installed; "
            "pip install 'jobkit-fenced[otlp]'",
        ),
        (
            {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "smoke"},
            "wrong: OTEL_EXPORTER_OTLP_TRACES_PROTOCOL=smoke: use grpc or http/protobuf",
        ),
    ],
    ids=["misspelt", "not installed", "protocol"],
)
def test_an_exporter_that_is_not_there_is_named_with_its_variable(variables: dict[str, str], message: str) -> None:
    out, _, _ = _run(**variables)
    assert out.startswith(message)


def test_the_page_speaks_both_formats() -> None:
    page = MetricsPage()
    plain, plain_type = page.render("")
    assert plain_type.startswith("text/plain; version=0.0.4")
    assert b"process_resident_memory_bytes" in plain
    open_metrics, open_type = page.render("application/openmetrics-text; version=1.0.0")
    assert open_type.startswith("application/openmetrics-text; version=1.0.0")
    assert open_metrics.endswith(b"# EOF\n")


async def test_a_worker_that_drains_delivers_its_last_spans(tmp_path: Path) -> None:
    """The batch would go out after minutes: it goes out at the end."""
    with collecting() as collector:
        async with open_site(tmp_path) as site:
            worker = site.start(
                "test.slow",
                OTEL_TRACES_EXPORTER="otlp",
                OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf",
                OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint,
                OTEL_BSP_SCHEDULE_DELAY="600000",
            )
            job = await site.client.submit("test.slow", Step(on="k", number=1, seconds=0))
            async for record in site.client.watch(job.id, timeout=60):
                last = record
            assert last.state is JobState.COMMITTED
            assert collector.spans == []
            worker.signal(signal.SIGTERM)
            with anyio.fail_after(60):
                assert await anyio.to_thread.run_sync(worker.process.wait) == 0
    assert {"claim test.slow", "process test.slow", "open", "attempt", "commit", "ack test.slow"} <= set(
        collector.spans
    )
