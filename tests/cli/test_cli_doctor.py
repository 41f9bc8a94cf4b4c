"""`jobkit doctor`: each thing that can be wrong is a line with what to change, and the exit code sums them up."""

from __future__ import annotations

import functools
import json
import os
import sqlite3
import time
from collections import namedtuple
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from jobkit.backends.local_files.blobs import LocalFileBlobs
from jobkit.backends.sqlite.coordinator import SqliteCoordinator
from jobkit.backends.sqlite.engine import open_engine
from jobkit.errors import Unavailable
from jobkit.model.layout import Layout
from tests.cli.conftest import Shell
from tests.cli.world import World

_Usage = namedtuple("_Usage", "total used free")


def _examined(shell: Shell, code: int) -> list[dict[str, Any]]:
    result = shell("doctor", "--json")
    assert result.exit_code == code, result.output
    report = json.loads(result.stdout)
    assert report["healthy"] is (code == 0)
    checks: list[dict[str, Any]] = report["checks"]
    return checks


def _finding(shell: Shell, code: int, part: str, status: str) -> dict[str, Any]:
    found = [check for check in _examined(shell, code) if (check["part"], check["status"]) == (part, status)]
    assert len(found) == 1, found
    return found[0]


def test_in_a_folder_without_jobs_it_says_so_and_makes_nothing(shell: Shell, tmp_path: Path) -> None:
    before = sorted(tmp_path.iterdir())
    warned = [check for check in _examined(shell, 0) if check["status"] == "warn"]
    assert [(check["part"], check["change"]) for check in warned] == [
        ("sqlite", "see JOBKIT_BROKER_URL and JOBKIT_COORDINATOR_URL and JOBKIT_STORE_URL"),
        ("directory", "see JOBKIT_BLOBS_URL"),
    ]
    assert f"there is no database {tmp_path / 'jobkit.db'}" in warned[0]["what"]
    assert f"there is no directory {tmp_path / 'jobkit-blobs'}" in warned[1]["what"]
    assert sorted(tmp_path.iterdir()) == before


def test_a_folder_that_takes_no_hard_links_is_told_before_the_directory_is_made(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(*_: object) -> None:
        raise OSError("no links here")

    monkeypatch.setattr(os, "link", no_links)
    assert "takes no hard links" in _finding(shell, 1, "directory", "fail")["what"]


@pytest.mark.usefixtures("world")
def test_all_is_well_with_an_installation_in_use(shell: Shell) -> None:
    checks = _examined(shell, 0)
    assert {check["status"] for check in checks} == {"ok"}
    parts = {check["part"] for check in checks}
    assert parts == {
        *("settings", "versions", "plugins", "clock", "sqlite", "directory"),
        *("broker", "coordinator", "store", "blobs"),
    }
    whole = " ".join(check["what"] for check in checks)
    assert f"SQLite {sqlite3.sqlite_version}" in whole
    assert "journal mode wal" in whole
    assert "GiB free" in whole


@pytest.mark.usefixtures("world")
def test_the_report_for_people_has_a_line_for_each_check(shell: Shell) -> None:
    lines = shell("doctor").stdout.splitlines()
    assert all(line.startswith("ok    ") for line in lines)
    assert "\x1b" not in "".join(lines)


def test_an_examination_leaves_nothing_behind(shell: Shell, world: World, tmp_path: Path) -> None:
    _examined(shell, 0)
    assert world.ask(lambda planes: planes.coordinator.leases()) == []
    assert [path for path in (tmp_path / "jobkit-blobs").rglob("*") if path.is_file()] == []
    assert world.ask(lambda planes: planes.inspection.counts()).keys == 0


def test_wrong_settings_are_a_failed_check(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOBKIT_LEASE_TTL", "0")
    assert "JOBKIT_LEASE_TTL: " in _finding(shell, 1, "settings", "fail")["what"]


def test_a_plugin_that_does_not_load_is_a_failed_check(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOBKIT_PLUGINS", "no_such_module")
    assert "'no_such_module' does not import" in _finding(shell, 1, "plugins", "fail")["what"]


def test_what_a_plugin_finds_wrong_is_a_failed_check(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SICK_COMPLAINT", "the pen is missing")
    assert _finding(shell, 1, "plugins", "fail")["what"] == "note: the pen is missing"


def test_what_a_plugin_can_do_here_is_told(shell: Shell) -> None:
    said = {check["what"] for check in json.loads(shell("doctor", "--json").stdout)["checks"]}
    assert "errand: runs" in said


def test_wrong_settings_of_a_plugin_are_a_failed_check(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SICK_ROUNDS", "some")
    assert "note: SICK_ROUNDS: Input should be a valid integer" in _finding(shell, 1, "plugins", "fail")["what"]


def test_no_job_types_at_all_are_worth_a_warning(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JOBKIT_PLUGINS")
    assert "jobkit new-plugin" in _finding(shell, 0, "plugins", "warn")["change"]


def test_another_number_of_partitions_is_told_and_a_change_that_nobody_carries_out(shell: Shell, world: World) -> None:
    four = Layout.first(4)
    world.ask(lambda planes: planes.store.set_layout("note", None, four))
    said = {check["what"] for check in json.loads(shell("doctor", "--json").stdout)["checks"]}
    assert "note has 4 partitions; JOBKIT_PARTITIONS=8 counts for new types only" in said
    world.ask(lambda planes: planes.store.set_layout("note", four, four.changed(2)))
    finding = _finding(shell, 0, "store", "warn")
    assert finding["what"] == "the number of partitions of note is being changed to 2"
    assert "jobkit topology note" in finding["change"]


def test_messages_that_nobody_serves_are_worth_a_warning(shell: Shell) -> None:
    shell("submit", "note", "--payload", '{"about": "tea"}')
    finding = _finding(shell, 0, "broker", "warn")
    assert finding["what"] == "1 messages of note wait, and no live worker serves it"
    assert finding["change"] == "jobkit worker note"


def test_dead_letters_and_gaps_are_worth_a_warning(shell: Shell, world: World) -> None:
    world.buried(world.accepted("chapter", {"about": "book"}), reason="rejected")
    world.parked(world.accepted("chapter", {"about": "book", "text": "2"}))
    changes = {check["change"] for check in _examined(shell, 0) if check["status"] == "warn"}
    assert {"jobkit dead list", "jobkit gaps list"} <= changes


def test_a_job_that_is_due_and_that_nobody_releases_is_worth_a_warning(
    shell: Shell, tmp_path: Path, world: World
) -> None:
    shell("submit", "note", "--payload", '{"about": "tea"}', "--id", "a", "--after", "3600")
    assert not [check for check in _examined(shell, 0) if "was due" in check["what"]]
    with closing(sqlite3.connect(tmp_path / "jobkit.db")) as database, database:
        database.execute("UPDATE jobs SET due = due - 7200")
    finding = _finding(shell, 0, "store", "warn")
    assert "job a of note was due" in finding["what"]
    assert "start a worker" in finding["change"]


def test_a_job_from_the_future_tells_of_clocks_that_disagree(shell: Shell, world: World) -> None:
    job = world.registry.new_job("note", {"about": "tea"}, submitted_at=time.time() + 3600)
    world.ask(lambda planes: planes.store.submit([job]))
    assert "was submitted in the future" in _finding(shell, 0, "clock", "warn")["what"]


def test_a_database_from_the_future_tells_of_a_clock_set_back(shell: Shell, tmp_path: Path, world: World) -> None:
    world.accepted("note", {"about": "tea"})
    later = time.time() + 3600
    os.utime(tmp_path / "jobkit.db", (later, later))
    findings = [check for check in _examined(shell, 0) if check["status"] == "warn" and check["part"] == "sqlite"]
    assert "was written in the future" in findings[0]["what"]


@pytest.mark.usefixtures("world")
@pytest.mark.parametrize(("free", "status", "code"), [(500 << 20, "warn", 0), (1 << 20, "fail", 1)])
def test_a_full_disk_is_found(shell: Shell, monkeypatch: pytest.MonkeyPatch, free: int, status: str, code: int) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: _Usage(1 << 40, 0, free))
    for part in ("sqlite", "directory"):
        assert "MiB free at " in _finding(shell, code, part, status)["what"]


def test_a_backend_out_of_reach_has_its_own_code(shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobkit.backends.sqlite.backend.open_engine", functools.partial(open_engine, lock_patience=0.1))
    monkeypatch.setattr("jobkit.backends.sqlite.diagnosis._LOCK_SECONDS", 0.1)
    with closing(sqlite3.connect(tmp_path / "jobkit.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        finding = _finding(shell, 3, "sqlite", "unreachable")
    assert "locked by another process" in finding["what"]


@pytest.mark.usefixtures("world")
def test_one_plane_out_of_reach_does_not_hide_the_others(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*_: object, **__: object) -> None:
        raise Unavailable("coordinator", "nobody answers")

    monkeypatch.setattr(SqliteCoordinator, "claim", away)
    checks = {check["part"]: check["status"] for check in _examined(shell, 3)}
    assert checks["coordinator"] == "unreachable"
    assert (checks["broker"], checks["store"], checks["blobs"]) == ("ok", "ok", "ok")


@pytest.mark.usefixtures("world")
def test_a_coordinator_that_forgets_is_found(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    async def prune(*_: object, **__: object) -> frozenset[object]:
        return frozenset()

    monkeypatch.setattr(SqliteCoordinator, "renew", prune)
    assert _finding(shell, 1, "coordinator", "fail")["what"] == "it lost a lease at once"


@pytest.mark.usefixtures("world")
def test_blobs_that_change_are_found(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    async def garbled(*_: object) -> Any:
        yield b"something else"

    monkeypatch.setattr(LocalFileBlobs, "read", garbled)
    assert "came back other than it was written" in _finding(shell, 1, "blobs", "fail")["what"]


def test_a_database_in_memory_is_worth_a_warning(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    for plane in ("BROKER", "COORDINATOR", "STORE"):
        monkeypatch.setenv(f"JOBKIT_{plane}_URL", "memory:")
    assert "forgotten with this one" in _finding(shell, 0, "sqlite", "warn")["what"]
