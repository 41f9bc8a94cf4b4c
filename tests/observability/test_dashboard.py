"""The Grafana dashboard and the alert rules use nothing that a worker does not show."""

from __future__ import annotations

import json
import re
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
from grafana_foundation_sdk.cog import plugins
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard
from opentelemetry.sdk.metrics import MeterProvider
from prometheus_client.parser import text_string_to_metric_families

from jobkit import Context, Reject, processor
from jobkit.backends.registry import memory_planes
from jobkit.client import Client
from jobkit.plugin.registry import Registry
from jobkit.telemetry import Telemetry
from jobkit.telemetry.exporting import MetricsPage
from jobkit.telemetry.metrics import CATALOGUE
from jobkit.worker import Worker
from tests.observability.exposed import TARGET, labels_of, legend_labels, prometheus_name, readings
from tests.steps import Step
from tests.virtual_site import settings_of

REPOSITORY = Path(__file__).parents[2]
RULES = REPOSITORY / "configs/prometheus/jobkit.rules.yml"
DASHBOARD = REPOSITORY / "configs/grafana/jobkit.json"

# Prometheus makes the first itself; of cases of split brain there is nothing to show before there is one.
NOT_SHOWN = {"up", "jobkit_split_brain_time_seconds"}
_OF_THE_EXPORTER = {
    "jobkit_queue_depth",
    "jobkit_queue_running",
    "jobkit_queue_age_seconds",
    "jobkit_queue_priorities",
    "jobkit_queue_waiting_for_places",
    "jobkit_schedules_overdue_seconds",
}
# There only once there is something to tell.
_AT_TIMES = {"jobkit_limits_waiting", "jobkit_schedules_lateness_seconds_bucket"}


@processor("step", key=lambda job: job.on)
async def step(job: Step, ctx: Context) -> None:
    if job.number < 0:
        raise Reject("it is below zero")
    ctx.append("step", {"number": job.number})


def _panels() -> list[dict[str, Any]]:
    panels: list[dict[str, Any]] = json.loads(DASHBOARD.read_text())["panels"]
    return panels


def _expressions() -> Iterator[tuple[str, str, set[str]]]:
    """Every expression of dashboard and rules: where it is, what it says, and which labels its words name."""
    for panel in _panels():
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"], legend_labels(target["legendFormat"])
    for variable in json.loads(DASHBOARD.read_text())["templating"]["list"]:
        if variable["type"] == "query":
            query = variable["query"]["query"]
            name, label = re.fullmatch(r"label_values\((\w+), (\w+)\)", query).groups()  # type: ignore[union-attr]
            yield variable["name"], f"{name}{{{label}=''}}".replace("''", '""'), set()
    for alert in re.split(r"^ +- alert: ", RULES.read_text(), flags=re.MULTILINE)[1:]:
        name, rest = alert.split("\n", 1)
        expr = re.search(r"expr: (?:>-\n)?(.*?)\n +(?:for|labels):", rest, re.DOTALL)
        assert expr is not None, name
        yield name, expr[1], legend_labels(rest)


async def _shown(types: list[str]) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    """The samples on /metrics of a real worker that has done a little of everything ordinary."""
    page = MetricsPage()
    meters = MeterProvider([page.reader], shutdown_on_exit=False)
    telemetry = Telemetry(meters=meters)
    async with memory_planes() as planes:
        settings = settings_of(health_port=0, partitions=1)
        registry = Registry([step])
        worker = Worker(planes, registry, types, settings, telemetry=telemetry, page=page)
        client = Client(planes, registry, settings, telemetry=telemetry)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(worker.run)
            with anyio.fail_after(60):
                while worker.health_port is None:  # noqa: ASYNC110  (a test's poll)
                    await anyio.sleep(0.01)
                for number in (1, -1):
                    job = await client.submit("step", Step(number=number))
                    async for _ in client.watch(job.id):
                        pass
                samples = await _scrape(worker.health_port)
                # The store is counted once somebody has read.
                while "jobkit_store_outbox" not in samples:
                    await anyio.sleep(0.05)
                    samples = await _scrape(worker.health_port)
            worker.drain()
    return samples


async def _scrape(port: int) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    def get() -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
            body: bytes = answer.read()
            return body.decode()

    samples: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    for family in text_string_to_metric_families(await anyio.to_thread.run_sync(get)):
        for sample in family.samples:
            samples.setdefault(sample.name, {})[tuple(sorted(sample.labels.items()))] = sample.value
    return samples


async def test_dashboard_and_rules_use_only_what_a_worker_shows() -> None:
    shown, possible = await _shown(["step"]), labels_of()
    checked = 0
    for where, expression, named in _expressions():
        read = list(readings(expression))
        assert read, f"{where}: {expression} reads nothing"
        allowed = set(TARGET)
        for reading in read:
            known = shown.keys() | NOT_SHOWN | _OF_THE_EXPORTER | _AT_TIMES
            assert reading.name in known, f"{where}: {reading.name} is not shown"
            labels = possible.get(reading.name, set())
            allowed |= labels
            checked += 1
        for reading in read:
            assert reading.labels <= allowed, f"{where}: {reading.name} has no {reading.labels - allowed}"
        assert named - {"value"} <= allowed, f"{where}: nothing there has {named - allowed}"
    assert checked > 60


async def test_all_there_is_is_shown_from_the_start() -> None:
    shown = await _shown(["step"])
    families = {name.removesuffix("_total").removesuffix("_bucket") for name in shown}
    expected = {prometheus_name(metric.name, metric.unit) for metric in CATALOGUE}
    unseen = {"jobkit_split_brain_time_seconds", "jobkit_limits_waiting", "jobkit_schedules_lateness_seconds"}
    unseen |= {"jobkit_resource_healthy", "jobkit_held"}
    assert expected - families == unseen | {*_OF_THE_EXPORTER}
    assert shown["jobkit_jobs_total"][("outcome", "committed"), ("type", "step")] == 1
    assert shown["jobkit_jobs_total"][("outcome", "dead"), ("type", "step")] == 1
    assert shown["jobkit_jobs_total"][("outcome", "duplicate"), ("type", "step")] == 0
    assert shown["jobkit_violations_total"][(("invariant", "order"),)] == 0
    assert shown["jobkit_elections_total"][(("type", "step"),)] == 1
    assert shown["jobkit_partitions_led"][(("type", "step"),)] == 1
    assert shown["jobkit_store_dead_letters"][()] == 1
    assert shown["jobkit_store_jobs"][(("state", "committed"),)] == 1
    assert shown["process_resident_memory_bytes"][()] > 0


def test_the_dashboard_is_what_grafana_takes() -> None:
    """Grafana's own models read it and lose nothing of it; what they add are their defaults."""
    plugins.register_default_plugins()
    ours = json.loads(DASHBOARD.read_text())
    theirs = json.loads(JSONEncoder(sort_keys=True).encode(Dashboard.from_json(ours)))
    assert list(_lost(ours, theirs, "dashboard")) == []
    assert list(_lost({**ours, "titel": "x"}, theirs, "dashboard")) == ["dashboard.titel"]


def _lost(ours: Any, theirs: Any, where: str) -> Iterator[str]:
    """Yield where something of ours is not in theirs, or is something else."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for name, value in ours.items():
            if name in theirs:
                yield from _lost(value, theirs[name], f"{where}.{name}")
            else:
                yield f"{where}.{name}"
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for number, (mine, other) in enumerate(zip(ours, theirs, strict=True)):
            yield from _lost(mine, other, f"{where}[{number}]")
    elif ours != theirs:
        yield where


def test_panels_have_places_of_their_own() -> None:
    panels = _panels()
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells


def test_every_panel_asks_the_chosen_source_and_says_what_it_shows() -> None:
    for panel in _panels():
        if panel["type"] != "row":
            assert panel["description"]
            assert panel["datasource"]["uid"] == "${datasource}"
            assert {target["datasource"]["uid"] for target in panel["targets"]} == {"${datasource}"}
