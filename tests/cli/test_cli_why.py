"""`jobkit why`: the reason in words for people, and as JSON for machines."""

from __future__ import annotations

import json

from tests.cli.conftest import Shell
from tests.cli.world import World


def test_it_says_why_a_job_has_not_been_done(shell: Shell, world: World) -> None:
    world.accepted("note", {"about": "k"}, id="a")
    shell("pause", "note", "--reason", "a bad release")
    told = shell("why", "a")
    assert told.exit_code == 0
    assert "a bad release" in told.stdout
    assert "jobkit resume note" in told.stdout
    found = json.loads(shell("why", "a", "--json").stdout)
    assert (found["id"], found["state"]) == ("a", "queued")
    assert [reason["cause"] for reason in found["reasons"]][:2] == ["paused", "no-worker"]


def test_a_job_that_is_not_known_is_said_so(shell: Shell, world: World) -> None:
    told = shell("why", "nosuch")
    assert told.exit_code == 1
    assert "nosuch" in told.stderr


def test_a_dashboard_that_strangers_reach_is_refused(shell: Shell, world: World) -> None:
    told = shell("web", "--host", "10.0.0.9")
    assert told.exit_code == 2
    assert "JOBKIT_WEB_TOKEN" in told.stderr
