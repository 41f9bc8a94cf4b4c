"""`jobkit bench` on SQLite, end to end and small. How fast it is, is nobody's business here."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from tests.lab.bench.site import SMALL, measured, run


def configured(directory: Path) -> dict[str, str]:
    url = f"sqlite:///{directory / 'mine.db'}"
    return {"JOBKIT_BROKER_URL": url, "JOBKIT_COORDINATOR_URL": url, "JOBKIT_STORE_URL": url}


def committed(database: Path) -> int:
    with closing(sqlite3.connect(database)) as connection:
        (count,) = connection.execute("SELECT count(*) FROM jobs WHERE state = 'committed'").fetchone()
        return int(count)


def test_without_settings_it_runs_on_a_database_of_its_own_that_is_gone_afterwards(tmp_path: Path) -> None:
    report = measured(tmp_path, "--workers", "1", "--workers", "2")
    assert (report["broker"], report["coordinator"], report["store"]) == ("sqlite", "sqlite", "sqlite")
    (round,) = report["rounds"]
    assert [(drain["workers"], drain["jobs"]) for drain in round["drains"]] == [(1, 200), (2, 200)]
    assert [drain["memory"][-1]["committed"] for drain in round["drains"]] == [200, 200]
    assert all(drain["account"]["cpu_seconds"] > 0 for drain in round["drains"])
    assert round["ceilings"] is None
    assert report["start"]["count"] == report["commit"]["count"] == 20
    assert report["start"]["p50"] <= report["commit"]["p50"]
    assert report["renewal"]["leases"] == 100
    assert list(tmp_path.iterdir()) == []


def test_urls_that_are_set_are_used_and_a_table_says_what_is_wanted(tmp_path: Path) -> None:
    (tmp_path / "mine.env").write_text("".join(f"{name}={value}\n" for name, value in configured(tmp_path).items()))
    done = run(tmp_path, "bench", *SMALL, "--env-file", "mine.env")
    assert done.returncode == 0, done.stderr
    assert "drain, 1 worker process " in done.stdout
    assert "below 25 ms" in done.stdout
    assert "aio-pika" not in done.stdout
    assert committed(tmp_path / "mine.db") >= 220


def test_jobs_that_an_earlier_run_left_are_not_measured(tmp_path: Path) -> None:
    variables = {**configured(tmp_path), "JOBKIT_PLUGINS": "jobkit.lab.bench.noop"}
    assert run(tmp_path, "submit", "bench.noop", "--payload", '{"on": "k"}', **variables).returncode == 0
    done = run(tmp_path, "bench", *SMALL, **variables)
    assert done.returncode == 1
    assert "1 jobs of an earlier benchmark wait there" in done.stderr


def test_only_private_servers_are_put_behind_a_slow_link(tmp_path: Path) -> None:
    done = run(tmp_path, "bench", "--latency", "500")
    assert done.returncode == 2
    assert "--latency needs --servers" in done.stderr
