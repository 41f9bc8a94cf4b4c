"""`jobkit doctor` and `jobkit migrate` as a user runs them, on servers set well and wrongly."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from jobkit.backends.registry import open_planes
from jobkit.lab.servers.base import free_port
from jobkit.settings import Settings
from tests.backends.children import ROOT, environment
from tests.lab.servers.postgres import TestServer


@dataclass
class Told:
    """What a command said."""

    code: int
    output: str
    errors: str

    def store(self) -> list[dict[str, Any]]:
        """Return the lines about the store and its server that are not fine."""
        checks: list[dict[str, Any]] = json.loads(self.output)["checks"]
        return [check for check in checks if check["part"] in ("postgresql", "store") and check["status"] != "ok"]


async def run(directory: Path, url: str, *words: str) -> Told:
    inherited = {name: value for name, value in environment().items() if not name.startswith("JOBKIT_")}
    variables = {
        "JOBKIT_STORE_URL": url,
        "JOBKIT_BROKER_URL": f"sqlite:///{directory}/jobkit.db",
        "JOBKIT_COORDINATOR_URL": f"sqlite:///{directory}/jobkit.db",
        "JOBKIT_BLOBS_URL": f"file:{directory}/blobs",
        "JOBKIT_PLUGINS": "tests.backends.postgres.orders_plugin",
        # Which other plugins are installed, and want settings, is not looked at here.
        "JOBKIT_TRANSCODE_SOURCE_ROOTS": str(directory),
    }
    command = [sys.executable, "-m", "jobkit", *words]
    done = await asyncio.to_thread(
        subprocess.run, command, cwd=ROOT, env={**inherited, **variables}, capture_output=True, text=True, timeout=60
    )
    return Told(done.returncode, done.stdout, done.stderr)


async def test_a_new_database_is_migrated_and_then_well(mortal: TestServer, tmp_path: Path) -> None:
    async with mortal.own_database(migrated=False) as database:
        url = mortal.url(database)
        before = await run(tmp_path, url, "doctor", "--json")
        (finding,) = before.store()
        assert (before.code, finding["status"], finding["part"]) == (1, "fail", "postgresql")
        assert "version 0" in finding["what"]
        assert finding["change"] == "run `jobkit migrate`"
        assert (await run(tmp_path, url, "migrate")).output.startswith("applied 0001_")
        after = await run(tmp_path, url, "doctor", "--json")
        assert after.store() == []
        answers = [check["what"] for check in json.loads(after.output)["checks"] if check["part"] == "store"]
        assert answers == ["answers and takes writes; no jobs"]


async def test_a_server_that_loses_what_it_acknowledged_is_a_failed_check(
    server: TestServer, own_database: str, tmp_path: Path
) -> None:
    told = await run(tmp_path, server.url(own_database), "doctor")
    assert told.code == 1
    assert "\nfail  postgresql   store: fsync off: " in told.output
    assert "-> set fsync = on in postgresql.conf" in told.output
    assert "\nok    store        answers and takes writes" in told.output
    assert told.errors == ""


@pytest.mark.parametrize(
    ("wrong", "code", "what", "change"),
    [
        ("password", 1, "check user and password", "see JOBKIT_STORE_URL"),
        ("database", 1, "there is no such database", "see JOBKIT_STORE_URL"),
        ("port", 3, "cannot be reached", "see that it runs, and that JOBKIT_STORE_URL names it"),
    ],
)
async def test_a_url_that_leads_nowhere_is_said_once_and_hides_no_other_plane(
    server: TestServer, own_database: str, tmp_path: Path, wrong: str, code: int, what: str, change: str
) -> None:
    url = {
        "password": server.url(own_database, password="hunter2"),
        "database": server.url("nowhere"),
        "port": server.url(own_database, port=free_port()),
    }[wrong]
    # Who only looks makes none of the other planes.
    database = f"sqlite:///{tmp_path}/jobkit.db"
    planes = {f"{plane}_url": database for plane in ("broker", "coordinator", "store")}
    async with open_planes(Settings(**planes, blobs_url=f"file:{tmp_path}/blobs")):
        pass
    told = await run(tmp_path, url, "doctor", "--json")
    (finding,) = told.store()
    assert (told.code, finding["status"]) == (code, "unreachable" if code == 3 else "fail")
    assert what in finding["what"]
    assert finding["change"] == change
    assert "hunter2" not in told.output + told.errors
    fine = [check["part"] for check in json.loads(told.output)["checks"] if check["status"] == "ok"]
    assert {"broker", "coordinator", "blobs"} <= set(fine)
