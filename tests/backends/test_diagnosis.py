"""What is found of the embedded backends, and how backends are looked at together."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from jobkit.backends import registry
from jobkit.backends.local_files.diagnosis import diagnose as examine_directory
from jobkit.backends.sqlite.diagnosis import diagnose as examine_sqlite
from jobkit.errors import ConfigurationError, NotThereYet, Unavailable
from jobkit.model.clock import SystemClock
from jobkit.model.plane import Plane
from jobkit.ops.diagnosis import places
from jobkit.ops.diagnosis.places import diagnose_places
from jobkit.ports.backend import Backend, Place
from jobkit.ports.diagnosis import Finding, Status
from jobkit.settings import Settings

CLOCK = SystemClock()


def settings(directory: Path, **urls: str) -> Settings:
    file = f"sqlite:///{directory}/jobkit.db"
    given = {"broker_url": file, "coordinator_url": file, "store_url": file, "blobs_url": f"file:{directory}/blobs"}
    return Settings.model_validate({**given, **urls})


def test_every_backend_opens_each_plane_that_it_has_schemes_for_and_no_other() -> None:
    for backend in registry.BACKENDS:
        opened = {plane for plane in Plane if getattr(backend, f"open_{plane}") is not None}
        assert opened == set(backend.schemes), backend.name


def test_no_scheme_names_two_backends() -> None:
    for plane in Plane:
        schemes = registry.schemes_of(plane)
        assert len(schemes) == len(set(schemes)), plane


def test_every_folder_of_a_backend_is_in_the_registry() -> None:
    folders = {path.parent.name for path in Path(registry.__file__).parent.glob("*/__init__.py")}
    assert folders == {name.split(".")[2] for name in map(_module, registry.BACKENDS)}


def _module(backend: Backend) -> str:
    return backend.diagnose.__module__


async def test_planes_in_one_file_are_looked_at_together_however_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = await diagnose_places(settings(tmp_path, store_url="sqlite:///jobkit.db"), CLOCK)
    assert [(one.kind, one.planes) for one in found] == [
        ("sqlite", ("broker", "coordinator", "store")),
        ("directory", ("blobs",)),
    ]


async def test_what_cannot_be_looked_at_hides_no_other_and_raises_nothing(tmp_path: Path) -> None:
    bad = settings(tmp_path, broker_url="carrier-pigeon:", coordinator_url="sqlite:nowhere", store_url="postgresql:x")
    found = {one.planes: one.error for one in await diagnose_places(bad, CLOCK)}
    assert set(found) == {("coordinator",), ("store",), ("blobs",)}
    assert isinstance(found["coordinator",], ConfigurationError)
    assert isinstance(found["store",], ConfigurationError)
    assert isinstance(found["blobs",], NotThereYet)


async def test_a_backend_that_never_answers_is_out_of_reach(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def hang(_: Place) -> list[Finding]:
        await asyncio.Event().wait()
        return []

    hanging = [replace(one, diagnose=hang) if one.name == "directory" else one for one in registry.BACKENDS]
    monkeypatch.setattr(registry, "BACKENDS", hanging)
    monkeypatch.setattr(places, "_LIMIT_SECONDS", 0.05)
    found = await diagnose_places(settings(tmp_path, **dict.fromkeys(PLANES, "memory:")), CLOCK)
    assert isinstance(found[-1].error, Unavailable)


async def test_a_driver_that_is_not_installed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "jobkit.backends.postgres.diagnosis", raising=False)
    monkeypatch.setitem(sys.modules, "asyncpg", None)
    found = await diagnose_places(settings(tmp_path, store_url="postgresql://u@127.0.0.1/d"), CLOCK)
    (store,) = [one for one in found if one.planes == ("store",)]
    assert "pip install 'jobkit-fenced[postgres]'" in str(store.error)


async def test_a_file_on_a_disk_without_write_ahead_logs_is_broken(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "old.db")) as database:
        database.execute("PRAGMA journal_mode = DELETE")
        database.execute("CREATE TABLE t (x)")
    findings = await examine_sqlite(f"sqlite:///{tmp_path}/old.db", CLOCK)
    assert findings[0].status is Status.FAIL
    assert "local disk" in findings[0].change


async def test_a_file_that_is_no_database_is_broken(tmp_path: Path) -> None:
    (tmp_path / "odd.db").write_bytes(b"x" * 10_000)
    findings = await examine_sqlite(f"sqlite:///{tmp_path}/odd.db", CLOCK)
    assert findings[0].status is Status.FAIL
    assert "cannot be read" in findings[0].what


async def test_a_directory_without_hard_links_is_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    findings = await examine_directory(f"file:{tmp_path}/blobs")
    assert findings[0].status is Status.FAIL
    assert "takes no hard links" in findings[0].what
    assert findings[0].change


async def test_looking_at_a_directory_leaves_nothing_in_it(tmp_path: Path) -> None:
    (tmp_path / "blobs").mkdir()
    findings = await examine_directory(f"file:{tmp_path}/blobs")
    assert {finding.status for finding in findings} == {Status.OK}
    assert [path for path in (tmp_path / "blobs").rglob("*") if path.is_file()] == []


def test_a_directory_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(NotThereYet, match="the first submit or worker makes it"):
        anyio.run(examine_directory, f"file:{tmp_path}/blobs")
    assert list(tmp_path.iterdir()) == []


PLANES = ("broker_url", "coordinator_url", "store_url")
