"""The shipped Prometheus rules, by Prometheus's own tool: each alert fires where it must and not where it must not."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from jobkit.lab.servers.base import require

pytestmark = pytest.mark.servers("promtool")

REPOSITORY = Path(__file__).parents[2]
RULES = REPOSITORY / "configs/prometheus/jobkit.rules.yml"
CASES = Path(__file__).with_name("alerts.test.yml")
GUIDE = REPOSITORY / "docs/observability.md"

INCIDENT = {
    "leader_elections_per_minute",
    "lock_timeout_rate",
    "event_processing_lag",
    "split_brain_detected",
    "duplicate_transcodes_detected",
    "event_ordering_violations",
}


def _promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    (program,) = require("promtool")
    return subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, timeout=120, check=False)


def _alerts() -> list[str]:
    return re.findall(r"^ +- alert: (\S+)$", RULES.read_text(), re.MULTILINE)


def test_the_rules_are_valid() -> None:
    done = _promtool("check", "rules", RULES)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_example_configuration_is_valid_and_takes_the_rules() -> None:
    done = _promtool("check", "config", RULES.with_name("prometheus.yml"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 rule files found" in done.stdout


def test_alerts_fire_where_they_must_and_not_where_they_must_not() -> None:
    done = _promtool("test", "rules", CASES)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_rule_that_is_broken_is_noticed(tmp_path: Path) -> None:
    """The cases can fail: with the bound of one alert moved, they do."""
    rules = tmp_path / "broken.rules.yml"
    rules.write_text(RULES.read_text().replace("* 60 > 10", "* 60 > 100"))
    cases = tmp_path / "cases.test.yml"
    cases.write_text(CASES.read_text().replace("../../configs/prometheus/jobkit.rules.yml", str(rules)))
    done = _promtool("test", "rules", cases)
    assert done.returncode != 0
    assert "leader_elections_per_minute" in done.stdout + done.stderr


def test_the_incidents_alerts_exist_under_their_names() -> None:
    assert set(_alerts()) >= INCIDENT


def test_every_alert_is_tested_and_explained() -> None:
    cases, guide = CASES.read_text(), GUIDE.read_text()
    for alert in set(_alerts()):
        assert re.search(rf"alertname(: |=\"){alert}\b", cases), f"{alert} has no case in which it fires"
        assert f"`{alert}`" in guide, f"docs/observability.md does not say what to do about {alert}"
